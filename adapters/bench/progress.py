"""Progress of a bench on standard error: cells done, the cell at work, time left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean

from adapters.bench.cells import Cell
from adapters.show.progress import Bar
from featcache.progress import clock


class CellReporter(Bar):
    """Cells done, the cell at work, time left.

    The time left is the sum over the cells ahead of the mean time of their method so far (of all methods, for one that
    has not been seen), because methods differ more than anything else.
    """

    def __init__(self, cells: Iterable[Cell], *, found: int, shown: bool) -> None:
        self._ahead = [(cell.recipe.method, cell.shots) for cell in cells]
        self._total, self._done = len(self._ahead) + found, found
        self._seconds: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
        super().__init__("bench", self._total, done=found, shown=shown)

    def begin(self, cell: Cell) -> None:
        """A cell is at work."""
        self._tell(str(cell))

    def end(self, cell: Cell, seconds: float) -> None:
        """It is done."""
        self._done += 1
        self._ahead.remove((cell.recipe.method, cell.shots))
        self._seconds[cell.recipe.method, cell.shots].append(seconds)
        self._tell(str(cell), last=self._done == self._total)

    def seconds_left(self) -> float | None:
        """What the cells ahead will take; None before the first is done."""
        if not self._seconds:
            return None
        means = {pair: fmean(values) for pair, values in self._seconds.items()}
        by_method: defaultdict[str, list[float]] = defaultdict(list)
        for (method, _), mean in means.items():
            by_method[method].append(mean)
        overall = fmean(means.values())
        return sum(
            means.get((method, shots)) or fmean(by_method.get(method, [overall])) for method, shots in self._ahead
        )

    def _tell(self, what: str, *, last: bool = False) -> None:
        left = self.seconds_left()
        text = what if left is None else f"{what}; {clock(left)} left"
        self.tell(self._done, text, f"{self._done}/{self._total} cells; {text}", last=last)
