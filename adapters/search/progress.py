"""Progress of a search on standard error: trainings done, their rate, time left."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Sequence

from adapters.search.draws import Draw
from adapters.search.trials import Trial
from adapters.show.progress import Bar
from featcache.progress import clock


class TrialReporter(Bar):
    """Trainings done, their rate, time left.

    The time left counts a training by the rows it learns from, as one on 16 shots takes longer than one on 1.

    Attributes:
        seconds: what the trainings of each number of shots took: time counts for what ends next.
    """

    def __init__(self, draws: Sequence[Draw], settings: int, trials: Sequence[Trial], *, shown: bool) -> None:
        self._draws = draws
        self.total, self.done = len(trials), 0
        self._rows = sum(len(draws[trial.draw].splits[trial.split][0].labels) for trial in trials)
        self._rows_done = 0
        self._began = self._last = time.monotonic()
        self.seconds: defaultdict[int, float] = defaultdict(float)
        if shown:
            found = settings * sum(len(draw.splits) for draw in draws) - self.total
            before = f", and {found:,} found done" if found else ""
            told = f"search: {self.total:,} trainings: {settings:,} settings of {len(draws)} draws{before}"
            print(told, file=sys.stderr)
        super().__init__("search", self.total, shown=shown)

    def ended(self, trial: Trial) -> None:
        """A training is done, or was given up."""
        draw, now = self._draws[trial.draw], time.monotonic()
        self.done += 1
        self._rows_done += len(draw.splits[trial.split][0].labels)
        self.seconds[draw.task.shots] += now - self._last
        self._last = now
        rate = self._rate()
        self.tell(self.done, rate, f"{self.done:,}/{self.total:,} trainings, {rate}", last=self.done == self.total)

    def _rate(self) -> str:
        elapsed = max(self._last - self._began, 1e-9)
        left = elapsed * (self._rows - self._rows_done) / self._rows_done
        return f"{self.done / elapsed:,.1f} a second, {clock(left)} left"
