"""What the demo can run: the usual walk, or one of the examples."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from processes import DemoError

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Scenario:
    """Which services stand behind Envoy, with which configurations, for which people, and what is walked through.

    `walk` is a Python file with `run(walk)`, and with `HINTS` for who wants to try something by hand.
    """

    services: tuple[str, ...]
    envoy: Path
    policy: Path
    seed: Path
    walk: Path

    def load_walk(self) -> ModuleType:
        spec = importlib.util.spec_from_file_location("scenario_walk", self.walk)
        if spec is None or spec.loader is None:
            raise DemoError(f"{self.walk} cannot be loaded as Python")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


USUAL = Scenario(
    services=("blog", "chatbot"),
    envoy=ROOT / "envoy" / "sidecar.yaml",
    policy=ROOT / "demo" / "portcullis.yaml",
    seed=ROOT / "demo" / "seed.json",
    walk=ROOT / "demo" / "steps.py",
)


def example_names() -> list[str]:
    return sorted(walk.parent.name for walk in EXAMPLES.glob("*/walk.py"))


def example(name: str) -> Scenario:
    """An example has one service behind, and Envoy sends bodies along."""
    if name not in example_names():
        raise DemoError(f"there is no example {name!r}; there are " + ", ".join(example_names()))
    folder = EXAMPLES / name
    return Scenario(
        services=("app",),
        envoy=EXAMPLES / "envoy.yaml",
        policy=folder / "portcullis.yaml",
        seed=folder / "seed.json",
        walk=folder / "walk.py",
    )
