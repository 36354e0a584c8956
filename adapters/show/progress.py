"""The bar that bench and search share: on a terminal a bar, in a log file a line now and then, or nothing at all."""

from __future__ import annotations

import sys
import time
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from featcache.errors import visible
from featcache.progress import SECONDS_BETWEEN_LINES


class Bar:
    """Progress on standard error, shown while the context lasts.

    Args:
        name: what is at work, in a word.
        total: how many there are to do.
        done: how many are done already.
        shown: whether to tell anything.
    """

    def __init__(self, name: str, total: int, *, done: int = 0, shown: bool) -> None:
        self._name, self._shown, self._told = name, shown, time.monotonic() if shown else 0.0
        self._bar: Progress | None = None
        console = Console(stderr=True)
        if shown and console.is_terminal:
            columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, TimeElapsedColumn(), console=console)
            self._task = self._bar.add_task("", total=total, completed=done)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar:
            self._bar.stop()

    def tell(self, done: int, description: str, line: str, *, last: bool) -> None:
        """Tell how far it is.

        Args:
            done: how many are done.
            description: what stands beside the bar.
            line: what a log file is told.
            last: there is nothing to wait for after it: a log file is told at once.
        """
        if self._bar:
            self._bar.update(self._task, completed=done, description=escape(visible(description)))
        elif self._shown and (last or time.monotonic() - self._told > SECONDS_BETWEEN_LINES):
            self._told = time.monotonic()
            print(visible(f"{self._name}: {line}"), file=sys.stderr, flush=True)
