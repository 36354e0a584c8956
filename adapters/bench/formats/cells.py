"""What all formats put into a table's cells: numbers, and the marks behind them."""

from __future__ import annotations

from collections.abc import Callable

from adapters.bench.protocols.learning import ADAPTED, BY_OWN, BY_TEXT, REFITTED
from adapters.bench.summary import Block, Entry, Line
from adapters.metrics import Interval
from adapters.show.numbers import MISSING, points, span

BEST = "*"
TIED = "≈"
LESS_ZERO_SHOT, LESS_BEST = "less zero-shot", "less best"
MARKS = {BY_TEXT: "†", BY_OWN: "‡", ADAPTED: "§", REFITTED: "¶"}
"""What stands behind a number that did not simply come from the fitted head."""


def number(entry: Entry | None) -> str:
    """`71.25 ± 1.30` in percent; without a spread where there is one seed."""
    return points(None) if entry is None else points(entry.mean, entry.std)


def marks(entry: Entry | None, seeds: int) -> str:
    """What stands behind the number: ties, how it came about, and the seeds where some are missing."""
    if entry is None:
        return ""
    missing = "" if entry.seeds == seeds else f" ({entry.seeds} of {seeds} seeds)"
    signs = (TIED if entry.tied else "") + "".join(MARKS.get(how, "") for how in entry.how)
    return (f" {signs}" if signs else "") + missing


def header(block: Block) -> list[str]:
    """The headings of a table."""
    return ["method", "select", *block.columns, LESS_ZERO_SHOT, LESS_BEST, "ECE", "s/fit"]


def cells(block: Block, seeds: int, *, bold: Callable[[str], str], escape: Callable[[str], str]) -> list[list[str]]:
    """The lines of a table as text, the best of every column bold."""
    lines = []
    for line in block.lines:
        numbers = []
        for entry in line.entries:
            text = escape(number(entry))
            numbers.append((bold(text) if entry and entry.best else text) + escape(marks(entry, seeds)))
        spans = [MISSING if each is None else span(each) for each in _differences(block, line)]
        cost = f"{100 * line.ece:.2f}", seconds(line.seconds_fit)
        lines.append([*map(escape, (line.method, line.select)), *numbers, *map(escape, spans), *cost])
    return lines


def seconds(fit: float) -> str:
    """What a fit took."""
    return "<0.01" if fit < 0.01 else f"{fit:.2f}"


def _differences(block: Block, line: Line) -> tuple[Interval | None, Interval | None]:
    """To zero-shot and to the best, in the column that ECE and seconds are of."""
    entry = line.entries[block.columns.index(block.cost)]
    return (None, None) if entry is None else (entry.less_zero_shot, entry.less_best)
