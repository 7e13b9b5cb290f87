"""The table that the walk prints, row by row as it goes."""

from __future__ import annotations

import os
import sys
from typing import Optional, TextIO

STEP_WIDTH = 43
REQUEST_WIDTH = 48
STATUS_WIDTH = 8

BOLD, DIM, RED, GREEN = "1", "2", "31", "32"


class Table:
    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        # https://no-color.org: any value that is not empty means no.
        self._colours = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.rows = 0
        self.differing = 0

    def header(self) -> None:
        self.line(self._columns(" #", "step", "request", "expected", "got", "reason"), BOLD)

    def section(self, title: str) -> None:
        self.line("")
        self.line(title, BOLD)

    def row(self, step: str, request: str, expected: int, got: int, reason: str, note: Optional[str],
            problems: list[str]) -> None:
        self.rows += 1
        columns = self._columns(f"{self.rows:2}", step, request, str(expected), str(got), reason)
        if problems:
            self.differing += 1
            self.line(f"{columns}   DIFFERS", RED)
            for problem in problems:
                self.line(f"    ^ {problem}", RED)
        else:
            self.line(columns, GREEN if got < 400 else None)
        if note:
            self.line(f"      {note}", DIM)

    def summary(self) -> None:
        self.line("")
        if self.differing:
            self.line(f"{self.rows} rows, {self.differing} of them differ from what was expected", RED)
        else:
            self.line(f"{self.rows} rows, all as expected", GREEN)

    def line(self, text: str, style: Optional[str] = None) -> None:
        if style and self._colours:
            text = f"\x1b[{style}m{text}\x1b[0m"
        print(text.rstrip(), file=self._out, flush=True)

    @staticmethod
    def _columns(number: str, step: str, request: str, expected: str, got: str, reason: str) -> str:
        return "  ".join([
            number,
            _fit(step, STEP_WIDTH),
            _fit(request, REQUEST_WIDTH),
            expected.ljust(STATUS_WIDTH),
            got.ljust(3),
            reason,
        ])


def _fit(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 3] + "..."
