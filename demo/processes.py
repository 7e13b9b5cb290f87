"""Starts programs, waits for them by condition, and leaves none behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Iterator, Optional, Sequence, TypeVar

T = TypeVar("T")

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TAIL_LINES = 15


class DemoError(Exception):
    """The demo cannot go on: one line for the person at the terminal, and a log whose end may tell more."""

    def __init__(self, message: str, log: Optional[Path] = None) -> None:
        super().__init__(message)
        self.log = log


class Stopped(BaseException):
    """Someone asked the demo to end. Not an `Exception`, so that nothing takes it for a failure and goes on."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class StopSignals:
    """Turns SIGINT, SIGTERM and SIGHUP into `Stopped`, except while they are held."""

    def __init__(self) -> None:
        self._holds = 0
        self._pending: Optional[int] = None

    def install(self) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, self._handle)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A signal that comes meanwhile counts at the end. Between a child's start and its entry in the list of
        children, an exception would lose the child."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
        if self._pending is not None and not self._holds:
            number, self._pending = self._pending, None
            raise Stopped(number)

    def hold_for_good(self) -> None:
        """From here on everything is being ended anyway."""
        self._holds += 1

    def _handle(self, number: int, _frame: object) -> None:
        if self._holds:
            self._pending = number
        else:
            raise Stopped(number)


class Process:
    """One program, in a process group of its own: Ctrl-C reaches the driver alone, and the driver ends the group."""

    def __init__(self, name: str, command: Sequence[str], log: Path, *, output: Optional[Path] = None,
                 environment: Optional[dict[str, str]] = None) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.log = log
        self.output = output or log
        self.environment = environment or {}
        self._child: Optional[subprocess.Popen[bytes]] = None

    def start(self) -> None:
        with self.log.open("ab") as log, self.output.open("ab") as output:
            try:
                self._child = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=log,
                    env={**os.environ, **self.environment},
                    start_new_session=True,
                    preexec_fn=_end_with_parent if sys.platform == "linux" else None,
                )
            except OSError as error:
                raise DemoError(f"cannot start {self.name} ({self.command[0]}): {error.strerror}") from error

    @property
    def exit_status(self) -> Optional[int]:
        """None while it runs, and before it was started."""
        return self._child.poll() if self._child else None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def ask_to_end(self) -> None:
        self._signal(signal.SIGTERM)

    def interrupt(self) -> None:
        """Asks as somebody at a terminal does: without delay for whoever is still connected."""
        self._signal(signal.SIGINT)

    def end(self, grace: float = 5.0) -> None:
        """Asks, waits up to `grace` seconds, then insists. Returns when nothing of the group is left."""
        if self._child is None:
            return
        self._signal(signal.SIGTERM)
        try:
            self._child.wait(grace)
        except subprocess.TimeoutExpired:
            pass
        self._signal(signal.SIGKILL, even_if_ended=True)  # also what it may have started itself
        self._child.wait()

    def _signal(self, number: int, even_if_ended: bool = False) -> None:
        if self._child is None or not (self.running or even_if_ended):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)


class Processes:
    """All programs of the demo, in the order in which they were started."""

    def __init__(self, signals: StopSignals) -> None:
        self._signals = signals
        self._started: list[Process] = []

    def start(self, process: Process) -> Process:
        with self._signals.held():
            process.start()
            if process not in self._started:
                self._started.append(process)
        return process

    def end_all(self) -> None:
        """Everyone is asked first, the last started first, and then waited for: the whole takes as long as the slowest."""
        backwards = list(reversed(self._started))
        for process in backwards:
            process.ask_to_end()
        for process in backwards:
            process.end()


def wait_until(condition: Callable[[], T], what: str, *, timeout: float, process: Optional[Process] = None,
               interval: float = 0.02) -> T:
    """The first true value of `condition`. Gives up after `timeout` seconds, or at once when `process` has ended."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        log = process.log if process else None
        if process and process.exit_status is not None:
            raise DemoError(f"{process.name} ended with status {process.exit_status}; waited for: {what}", log)
        if time.monotonic() >= deadline:
            raise DemoError(f"gave up after {timeout:.0f} s; waited for: {what}", log)
        time.sleep(interval)


def log_tail(log: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
    return []


# Loaded before any fork: the child must not load libraries.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """In the child: should the driver be killed outright, the kernel ends this program too (Linux only)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
