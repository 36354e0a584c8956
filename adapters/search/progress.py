"""Progress of a search on standard error: trainings done, their rate, time left."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from adapters.search.draws import Draw
from adapters.search.trials import Trial
from featcache.progress import SECONDS_BETWEEN_LINES, clock


class TrialReporter:
    """A bar on a terminal, a line now and then in a log file, nothing where nothing is wanted.

    The time left counts a training by the rows it learns from, as one on 16 shots takes longer than one on 1.

    Attributes:
        seconds: what the trainings of each number of shots took: time counts for what ends next.
    """

    def __init__(self, draws: Sequence[Draw], settings: int, *, shown: bool) -> None:
        self._draws, self._shown = draws, shown
        self.total, self.done = settings * sum(len(draw.splits) for draw in draws), 0
        rows = [sum(len(support.labels) for support, _ in draw.splits) for draw in draws]
        self._rows, self._rows_done = settings * sum(rows), 0
        self._began = self._last = self._told = time.monotonic()
        self.seconds: defaultdict[int, float] = defaultdict(float)
        self._bar: Progress | None = None
        console = Console(stderr=True)
        if shown:
            print(f"search: {self.total:,} trainings: {settings:,} settings of {len(draws)} draws", file=sys.stderr)
        if shown and console.is_terminal:
            columns = (TextColumn("search"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, TimeElapsedColumn(), console=console)
            self._task = self._bar.add_task("", total=self.total)

    def __enter__(self) -> TrialReporter:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar:
            self._bar.stop()

    def ended(self, trial: Trial) -> None:
        """A training is done, or was given up."""
        draw, now = self._draws[trial.draw], time.monotonic()
        self.done += 1
        self._rows_done += len(draw.splits[trial.split][0].labels)
        self.seconds[draw.task.shots] += now - self._last
        self._last = now
        if not self._shown:
            return
        if self._bar:
            self._bar.update(self._task, completed=self.done, description=self._rate())
        elif self.done == self.total or now - self._told > SECONDS_BETWEEN_LINES:
            self._told = now
            print(f"search: {self.done:,}/{self.total:,} trainings, {self._rate()}", file=sys.stderr, flush=True)

    def _rate(self) -> str:
        elapsed = max(self._last - self._began, 1e-9)
        left = elapsed * (self._rows - self._rows_done) / self._rows_done
        return f"{self.done / elapsed:,.1f} a second, {clock(left)} left"
