# `make` alone lists the targets.

PYTHON ?= python3
CARGO ?= cargo
# Where cargo puts what it builds.
TARGET_DIR = $(or $(CARGO_TARGET_DIR),target)

# Options of `make demo`: EXAMPLE=saas runs that example, ONCE=1 ends after the walk, KEEP_LOGS=1 keeps its logs.
DEMO_OPTIONS = $(if $(EXAMPLE),--example '$(EXAMPLE)') $(if $(filter 1 yes true,$(ONCE)),--once) $(if $(filter 1 yes true,$(KEEP_LOGS)),--keep-logs)

# How long `make soak` lasts.
SOAK ?= 5m

.DEFAULT_GOAL := help
.PHONY: help build demo test soak bench fmt lint envoy traefik schemas clean need-rust need-python

help: ## list the targets
	@echo "usage: make TARGET"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-7s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: need-rust ## build the release binaries
	$(CARGO) build --release --locked

demo: need-python build envoy ## run everything behind a real Envoy and walk through it (EXAMPLE=erp|saas|company|admin-tiers|two-level, ONCE=1: end after the walk)
	@$(PYTHON) demo/demo.py --bin-dir $(TARGET_DIR)/release $(DEMO_OPTIONS)

test: need-rust envoy traefik schemas ## run all tests, the ones through the real Envoy included
	$(CARGO) test --locked
	$(CARGO) test --locked --test soak -- --for 20s

soak: need-rust ## everything at once for SOAK=5m with an oracle beside it; JSON=FILE also writes the report there
	SOAK='$(SOAK)' $(CARGO) test --release --locked --test soak -- $(if $(JSON),--json '$(abspath $(JSON))')

bench: need-rust ## run the benchmarks
	$(CARGO) bench --locked --bench decide
	$(CARGO) bench --locked --bench revocations
	$(CARGO) bench --locked --bench check

fmt: need-rust ## format the code
	$(CARGO) fmt

lint: need-rust ## check format and lints, as CI does
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings

envoy: need-python ## install the pinned Envoy into .tools/
	@$(PYTHON) scripts/install_envoy.py

traefik: need-python ## install the pinned Traefik into .tools/
	@$(PYTHON) scripts/install_traefik.py

schemas: need-python ## install the schemas that manifests are validated with into .tools/ (needs node and npm)
	@$(PYTHON) scripts/install_schemas.py

clean: need-rust ## remove what was built and the installed tools
	$(CARGO) clean
	rm -rf .tools

need-rust:
	@command -v $(CARGO) >/dev/null 2>&1 || { echo "make: there is no $(CARGO): install Rust (rustup, https://rustup.rs)" >&2; exit 1; }
	@command -v cc >/dev/null 2>&1 || { echo "make: there is no C compiler (cc): install gcc or clang" >&2; exit 1; }

need-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1 || { \
		echo "make: there is no Python 3.9 or newer as '$(PYTHON)': install it, or say PYTHON=/path/to/python3" >&2; exit 1; }
