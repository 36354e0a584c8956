"""The summary of a search for the terminal: one line a number of shots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from adapters.search.results import Results

MISSING = "–"


def summary_table(results: Results) -> RenderableType:
    """Zero-shot, the method's defaults, what was chosen, and its settings; ORACLE in red."""
    heading = Text(results.title, style="bold")
    heading.highlight_words(["ORACLE"], "bold red")
    varied = results.grid.varied
    table = Table()
    for name in ("shots", "zero-shot", "defaults", "chosen", "selection", *varied, "s"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in results.lines:
        numbers = (
            percent(line.zero_shot),
            percent(line.default, line.default_std),
            percent(line.chosen, line.chosen_std),
            MISSING if line.selection is None else percent(line.selection),
        )
        settings = (over_seeds(line.settings.get(name, ())) for name in varied)
        best = Text(numbers[2], style="bold")
        table.add_row(str(line.shots), *numbers[:2], best, numbers[3], *settings, f"{line.seconds:.1f}")
    return Group(heading, table, *(Text(note) for note in results.notes))


def percent(mean: float, std: float | None = None) -> str:
    """`71.25 ± 1.30`; without a spread where there is one seed."""
    return f"{100 * mean:.2f}" + ("" if std is None else f" ± {100 * std:.2f}")


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
