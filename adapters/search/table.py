"""The summary of a search for the terminal: one line a number of shots.

Where the values of many options make it wider than the terminal, they get tables of their own below the accuracies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from adapters.search.results import Results

MISSING = "–"
Columns = Mapping[str, Sequence[RenderableType]]
"""Cells by the names above them."""


class SummaryTable:
    """Zero-shot, the method's fixed defaults, what was chosen, and its settings; ORACLE in red."""

    def __init__(self, results: Results) -> None:
        self.heading = Text(results.title, style="bold")
        self.heading.highlight_words(["ORACLE"], "bold red")
        self.notes = results.notes
        lines = results.lines
        self.shots = {"shots": [str(line.shots) for line in lines]}
        self.accuracies: Columns = {
            "zero-shot": [percent(line.zero_shot) for line in lines],
            "fixed defaults": [percent(line.default, line.default_std) for line in lines],
            "chosen": [Text(percent(line.chosen, line.chosen_std), style="bold") for line in lines],
            "selection": [MISSING if line.selection is None else percent(line.selection) for line in lines],
        }
        self.settings: Columns = {
            name: [over_seeds(line.settings.get(name, ())) for line in lines] for name in results.grid.varied
        }
        self.seconds = {"s": [f"{line.seconds:.1f}" for line in lines]}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """What `rich` prints, none of it cut off at the width of the terminal."""
        endless = options.update(max_width=10_000)

        def fits(table: Table) -> bool:
            return console.measure(table, options=endless).maximum <= options.max_width

        yield self.heading
        yield from self._tables(fits)
        yield from map(Text, self.notes)

    def _tables(self, fits: Callable[[Table], bool]) -> Iterator[Table]:
        whole = _table({**self.shots, **self.accuracies, **self.settings, **self.seconds})
        if fits(whole):
            yield whole
            return
        yield _table({**self.shots, **self.accuracies, **self.seconds})
        group: Columns = {}
        for name, cells in self.settings.items():
            longer = {**group, name: cells}
            if group and not fits(_table({**self.shots, **longer})):
                yield _table({**self.shots, **group})
                longer = {name: cells}
            group = longer
        yield _table({**self.shots, **group})


def _table(columns: Columns) -> Table:
    table = Table()
    for name in columns:
        table.add_column(name, justify="right", overflow="fold")
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*cells)
    return table


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
