"""The summary of a search: what was found for each number of shots, a line each in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.metrics import Interval
from adapters.show.numbers import MISSING, points, span
from featcache.show.page import Page, Styled, Table

ACCURACIES = ("zero-shot", "by default", "chosen", "less zero-shot", "selection")


@dataclass(frozen=True)
class Summary:
    """A number of shots, over seeds.

    Accuracies are fractions, spreads sample standard deviations (None: one seed); `less_…` are 95 % intervals of the
    chosen less the other, paired over test rows and seeds.
    """

    shots: int
    zero_shot: float
    default: float
    default_std: float | None
    chosen: float
    chosen_std: float | None
    less_zero_shot: Interval
    less_default: Interval
    selection: float | None
    settings: Mapping[str, Sequence[Any]]
    """The chosen value of every option with several, one a seed; empty where nothing could be chosen."""
    seconds: float


def summary_page(heading: str, lines: Sequence[Summary], varied: Sequence[str], notes: Sequence[str]) -> Page:
    """Zero-shot, the method as it comes, what was chosen, and its settings.

    Args:
        heading: what stands above.
        lines: one a number of shots.
        varied: options with several values.
        notes: what must be read with the numbers.
    """
    columns = ("shots", *ACCURACIES, "s", *varied)
    table = Table(columns, [_row(line, varied) for line in lines], numbers=columns)
    return Page([heading, table, *notes])


def _row(line: Summary, varied: Sequence[str]) -> list[str]:
    chosen = Styled(points(line.chosen, line.chosen_std), "bold")
    accuracies = [points(line.zero_shot), points(line.default, line.default_std), chosen]
    accuracies += [span(line.less_zero_shot), points(line.selection)]
    settings = [over_seeds(line.settings.get(name, ())) for name in varied]
    return [str(line.shots), *accuracies, f"{line.seconds:.1f}", *settings]


def over_seeds(values: Sequence[Any]) -> str:
    """One value if all seeds chose it, else from the least to the largest number, or every word."""
    distinct = list(dict.fromkeys(values))
    if not distinct:
        return MISSING
    if len(distinct) == 1:
        return short(distinct[0])
    if all(type(value) in (int, float) for value in distinct):
        return f"{short(min(distinct))}–{short(max(distinct))}"
    return ", ".join(sorted(map(short, distinct)))


def short(value: Any) -> str:
    """Numbers with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value).lower() if value is None else str(value)
