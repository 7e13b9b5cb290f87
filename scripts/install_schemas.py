#!/usr/bin/env python3
"""Installs what manifests are validated with into .tools/schemas, which git ignores.

- Kubernetes' own schemas of some versions, in which a field that is not known is an error: from a PyPI package, by hash.
- Validators of custom resources (Istio, Envoy Gateway, Gateway API, cert-manager, the Prometheus operator), compiled from the CRDs
  of these projects: from npm packages, by schemas/package-lock.json. They are JavaScript, so the tests need node.

Does nothing when all of it is there already.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from pypi import TOOLS, InstallError, download, reporting, run

PACKAGE = "kubernetes-validate"
VERSION = "1.37.0"
HASHES = {"all machines": "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9"}
# The oldest and the newest version that are supported, and one between them.
KUBERNETES = ["1.29", "1.33", "1.37"]

HERE = Path(__file__).resolve().parent
CUSTOM = HERE / "schemas"
NODE_FILES = ["package.json", "package-lock.json"]
# The validators are made for this version of node and newer; 18 runs them as well.
MIN_NODE = 18


def main() -> int:
    return reporting("install_schemas", ensure)


def ensure() -> None:
    """Installs them unless they are there, of the versions that are pinned."""
    home = TOOLS / "schemas"
    if not is_current(home):
        install(home)


def stamp() -> str:
    """What says which schemas these are: another pin is another stamp."""
    pins = [VERSION, *HASHES.values(), *KUBERNETES, *((CUSTOM / name).read_text(encoding="utf-8") for name in NODE_FILES)]
    return hashlib.sha256("\n".join(pins).encode()).hexdigest()


def is_current(home: Path) -> bool:
    try:
        return (home / "stamp").read_text(encoding="utf-8") == stamp()
    except OSError:
        return False


def install(home: Path) -> None:
    """Downloads and unpacks; `home` appears whole or not at all."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise InstallError(
                f"there is no {program}, with which custom resources are validated: install it (Debian, Ubuntu: apt-get install nodejs npm)"
            )
    check_node()
    TOOLS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="install-", dir=TOOLS) as scratch_name:
        scratch = Path(scratch_name)
        unpacked = scratch / "schemas"
        unpacked.mkdir()
        print(f"installing the schemas of Kubernetes and of custom resources into {home} (about 30 MB to download) ...", flush=True)
        unpack(download(PACKAGE, VERSION, HASHES, scratch), unpacked / "kubernetes")
        for name in NODE_FILES:
            shutil.copy(CUSTOM / name, unpacked / name)
        result = run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], unpacked)
        if result.returncode != 0:
            lines = [line for line in (result.stderr + result.stdout).splitlines() if line.strip()]
            raise InstallError(f"npm could not install the validators: {lines[0] if lines else 'it printed nothing'}")
        (unpacked / "stamp").write_text(stamp(), encoding="utf-8")
        if is_current(home):
            return  # another run of this script was faster
        if home.exists():  # of other versions
            shutil.rmtree(home)
        unpacked.rename(home)


def check_node() -> None:
    version = run(["node", "--version"]).stdout.strip().removeprefix("v")
    major = version.split(".", 1)[0]
    if not major.isdigit() or int(major) < MIN_NODE:
        raise InstallError(f"node {version or 'of an unknown version'} is too old: install {MIN_NODE} or newer")


def unpack(wheel: Path, target: Path) -> None:
    """Takes the schemas of the supported versions, as `1.29/pod-v1.json`."""
    with zipfile.ZipFile(wheel) as archive:
        for version in KUBERNETES:
            prefix = f"kubernetes_validate/kubernetes-json-schema/v{version}.0-local-strict/"
            names = [name for name in archive.namelist() if name.startswith(prefix) and name.endswith(".json")]
            if not names:
                raise InstallError(f"{wheel.name} holds no schemas of Kubernetes {version}")
            folder = target / version
            folder.mkdir(parents=True)
            for name in names:
                (folder / name.removeprefix(prefix)).write_bytes(archive.read(name))


if __name__ == "__main__":
    sys.exit(main())
