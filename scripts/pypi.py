"""Downloads pinned files from the Python package index."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# Where everything is installed; git ignores it.
TOOLS = Path(__file__).resolve().parent.parent / ".tools"


class InstallError(Exception):
    """Something could not be installed; the message is one line for the person at the terminal."""


def reporting(script: str, action: Callable[[], None]) -> int:
    """Does something and gives the exit status; why it could not be done is told in one line."""
    try:
        action()
    except InstallError as error:
        print(f"{script}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{script}: cannot write below {TOOLS}: {error}", file=sys.stderr)
        return 1
    return 0


def download(package: str, version: str, hashes: dict[str, str], scratch: Path) -> Path:
    """The one wheel of this version that fits this machine, checked against the hashes (by what they are for)."""
    pip = find_pip(package, scratch)
    requirement = " ".join([f"{package}=={version}", *(f"--hash=sha256:{value}" for value in hashes.values())])
    requirements = scratch / "requirements.txt"
    requirements.write_text(requirement + "\n", encoding="utf-8")
    wheels = scratch / "wheels"
    arguments = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    result = run([*pip, *arguments, "--require-hashes", "--dest", str(wheels), "--requirement", str(requirements)])
    found = sorted(wheels.glob("*.whl")) if wheels.is_dir() else []
    if result.returncode == 0 and len(found) == 1:
        return found[0]
    raise InstallError(why_not(f"{package} {version}", hashes, result.stdout + result.stderr))


def find_pip(package: str, scratch: Path) -> list[str]:
    """The command that runs pip: this Python's own, or that of a throw-away virtual environment."""
    own = [sys.executable, "-m", "pip"]
    if run([*own, "--version"]).returncode == 0:
        return own
    # Debian's python3 comes without pip, but may be able to make an environment with one.
    environment = scratch / "venv"
    if run([sys.executable, "-m", "venv", str(environment)]).returncode == 0:
        return [str(environment / "bin" / "python"), "-m", "pip"]
    raise InstallError(
        f"{sys.executable} has no pip, which downloads {package}: install it (Debian, Ubuntu: apt-get install python3-pip)"
    )


def why_not(what: str, hashes: dict[str, str], output: str) -> str:
    """One line out of pip's many."""
    if "DO NOT MATCH THE HASHES" in output:
        return f"what pip downloaded as {what} is not the file that is pinned here: not installed"
    # With no network pip warns about each retry, and ends with the same error as for a platform that has no wheel.
    network = ("Retrying (", "NewConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "Name or service not known")
    if any(sign in output for sign in network):
        return "pip cannot reach the package index: check the network (or PIP_INDEX_URL, PIP_PROXY) and try again"
    if "No matching distribution" in output or "not a supported wheel" in output:
        return f"there is no {what} for this machine ({sys.platform}); supported: {', '.join(hashes)}"
    lines = [line for line in output.splitlines() if line.strip()]
    return f"pip could not download {what}: {lines[-1] if lines else 'it printed nothing'}"


def run(command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, with nothing on its standard input."""
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=folder)
