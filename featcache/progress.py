"""Progress of long work on standard error: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import sys
import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

from featcache.errors import visible

SECONDS_BETWEEN_LINES = 15.0
WIDE = 110
"""Characters of a terminal that leave room for a bar."""


class Reporter(Protocol):
    """What long work tells about itself."""

    def start(self, description: str, total: int | None) -> None:
        """Begin with `total` rows ahead; None where that is not known."""

    def advance(self, rows: int, bad: int, bound: str = "") -> None:
        """`rows` more rows are encoded, `bad` of them unreadable; `bound` is what takes most of the time."""

    def note(self, line: str) -> None:
        """Something that the user should know, which is no error."""


class Silent:
    """Tells nothing."""

    def start(self, description: str, total: int | None) -> None:
        """Nothing."""

    def advance(self, rows: int, bad: int, bound: str = "") -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """Nothing."""


class StderrReporter:
    """Rows, rows a second, time left and bad images, on standard error."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bar = _bar(console) if console.is_terminal else None

    def __enter__(self) -> StderrReporter:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar:
            self._bar.stop()

    def start(self, description: str, total: int | None) -> None:
        """Begin with `total` rows ahead; None where that is not known."""
        self._description, self._total, self._done, self._bad = description, total, 0, 0
        self._bound = ""
        self._began = self._told = time.monotonic()
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(description, total=total, rate="")

    def advance(self, rows: int, bad: int, bound: str = "") -> None:
        """`rows` more rows are encoded, `bad` of them unreadable; `bound` is what takes most of the time."""
        self._done += rows
        self._bad += bad
        self._bound = bound
        if self._bar:
            self._bar.update(self._task, advance=rows, rate=self._rate())
        elif time.monotonic() - self._told > SECONDS_BETWEEN_LINES or self._done == self._total:
            self._told = time.monotonic()
            done = f"{self._done:,}" if self._total is None else f"{self._done:,}/{self._total:,}"
            print(f"{self._description}: {done}, {self._rate()}", file=sys.stderr, flush=True)

    def note(self, line: str) -> None:
        """A line above the bar."""
        if self._bar:
            self._bar.console.print(visible(line), markup=False, highlight=False)
        else:
            print(visible(line), file=sys.stderr, flush=True)

    def _rate(self) -> str:
        rate = self._done / max(time.monotonic() - self._began, 1e-9)
        left = "" if self._total is None else f", {clock((self._total - self._done) / max(rate, 1e-9))} left"
        bad = f", {self._bad} unreadable" if self._bad else ""
        bound = f", bound by {self._bound}" if self._bound else ""
        return f"{rate:,.0f} images/s{left}{bad}{bound}" if rate < 1e7 else bad


def clock(seconds: float) -> str:
    """Seconds as `m:ss` or `h:mm:ss`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _bar(console: Console) -> Progress:
    """A bar where there is room for it; what is told in words and numbers comes first."""
    words, numbers = Column(no_wrap=True, overflow="ellipsis", ratio=1), Column(no_wrap=True)
    return Progress(
        TextColumn("{task.description}", table_column=words),
        *([BarColumn(bar_width=20)] if console.width >= WIDE else []),
        MofNCompleteColumn(table_column=numbers),
        TextColumn("{task.fields[rate]}", table_column=Column(no_wrap=True)),
        console=console,
        expand=True,
    )
