"""A bench to look at: its tables, accuracy over shots with bands, and what cannot be told from the best.

A page is made of the object that `adapters bench --json` prints and that a bench keeps as `bench.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from markupsafe import Markup

from adapters.bench.formats.cells import BEST, LESS_BEST, LESS_ZERO_SHOT, MARKS, TIED, seconds
from adapters.html.curves import COLOURS, PLAIN, Point, Series, curves
from adapters.html.document import render
from adapters.html.intervals import Interval, intervals
from adapters.html.tables import Cell, number
from adapters.methods import BASELINE
from adapters.selection.regimes import REGIMES
from adapters.show.numbers import MISSING, points, span
from featcache.records import checked


class EntryFound(TypedDict):
    """One number of a table, with its heading and number of shots."""

    column: str
    shots: int
    mean: float
    std: float | None
    seeds: int
    best: bool
    tied: bool
    how: list[str]
    less_zero_shot: tuple[float, float] | None
    less_best: tuple[float, float] | None


class LineFound(TypedDict):
    """A method."""

    method: str
    select: str
    ece: float
    seconds_fit: float
    entries: list[EntryFound]


class TableFound(TypedDict):
    """One table; `cost_of` is the column that ECE and seconds are of."""

    group: str
    title: str
    columns: list[str]
    cost_of: str
    lines: list[LineFound]


class Found(TypedDict):
    """What of a bench's JSON the page is made of."""

    title: str
    select: str
    methods: list[str]
    seeds: list[int]
    tables: list[TableFound]
    notes: list[str]


def bench_html(content: Mapping[str, Any]) -> str:
    """The page of what `adapters bench --json` printed.

    Raises:
        Malformed: it is something else; the message names the field.
    """
    found = checked(content, Found)
    kind, *facts = found["title"].split(" · ")
    regime = REGIMES.get(found["select"])
    return render(
        "bench.html",
        kind=f"bench · {kind}",
        title=facts[0] if facts else kind,
        facts=[("", fact) for fact in facts[1:]],
        warning=regime.warning if regime else "",
        notes=found["notes"],
        tables=[
            {
                "title": table["title"],
                "columns": _columns(table),
                "rows": [_row(table, line, len(found["seeds"])) for line in table["lines"]],
                "significance": _significance(table),
            }
            for table in found["tables"]
        ],
        curves=_curves(found),
        pictures={},
    )


def _columns(table: TableFound) -> list[tuple[str, str]]:
    headings = [*table["columns"], LESS_ZERO_SHOT, LESS_BEST, "ECE", "s/fit"]
    return [("method", "text"), ("select", "text"), *((heading, "number") for heading in headings)]


def _row(table: TableFound, line: LineFound, seeds: int) -> list[Cell]:
    of_column = {entry["column"]: entry for entry in line["entries"]}
    cells = [Cell(line["method"]), Cell(line["select"])]
    for column in table["columns"]:
        entry = of_column.get(column)
        if entry is None:
            cells.append(number(MISSING, None, f"{line['method']}, {column}: not computed"))
            continue
        signs = (f" {BEST}" if entry["best"] else "") + (f" {TIED}" if entry["tied"] else "")
        signs += "".join(MARKS.get(how, "") for how in entry["how"])
        signs += "" if entry["seeds"] == seeds else f" ({entry['seeds']} of {seeds} seeds)"
        mark = "best" if entry["best"] else ""
        cells.append(number(points(entry["mean"], entry["std"]) + signs, entry["mean"], _named(line, entry), mark))
    cost = of_column.get(table["cost_of"])
    for name in ("less_zero_shot", "less_best"):
        ends: tuple[float, float] | None = None if cost is None else cost[name]
        mark = "" if ends is None or ends[0] <= 0 <= ends[1] else "sure" if ends[0] > 0 else "worse"
        cells.append(number(MISSING if ends is None else span(ends), None if ends is None else sum(ends) / 2, "", mark))
    cells.append(number(f"{100 * line['ece']:.2f}", line["ece"]))
    return [*cells, number(seconds(line["seconds_fit"]), line["seconds_fit"])]


def _named(line: LineFound, entry: EntryFound) -> str:
    """What names a cell under the pointer."""
    told = [f"{line['method']}, {entry['column']}: {points(entry['mean'], entry['std'])} %"]
    told += [f"{entry['seeds']} seed{'s' if entry['seeds'] > 1 else ''}, select: {line['select']}"]
    for name in ("less_zero_shot", "less_best"):
        if (ends := entry[name]) is not None:
            told.append(f"{name.replace('_', ' ')}: {span(ends)} points")
    if entry["best"] or entry["tied"]:
        told.append("the best" if entry["best"] else "cannot be told from the best")
    return "\n".join(told)


def _curves(found: Found) -> list[tuple[str, Markup]]:
    """A chart for each cache and for their average: where columns are shots all of them, else the first column."""
    panels: dict[tuple[str, str], dict[str, list[Point]]] = {}
    for table in found["tables"]:
        for line in table["lines"]:
            of_shots = len({entry["shots"] for entry in line["entries"]}) == len(line["entries"])
            shown = line["entries"] if of_shots else line["entries"][:1]
            for entry in shown:
                what = "test accuracy" if of_shots else f"test accuracy, {table['columns'][0]}"
                mean, std = 100 * entry["mean"], None if entry["std"] is None else 100 * entry["std"]
                low, high = (None, None) if std is None else (mean - std, mean + std)
                point = Point(float(entry["shots"]), mean, low, high, _named(line, entry))
                panels.setdefault((table["group"], what), {}).setdefault(line["method"], []).append(point)
    drawn = []
    for (group, what), lines in panels.items():
        others = [method for method in lines if method != BASELINE]
        series = [
            Series(
                method, of_method, PLAIN if method == BASELINE else others.index(method) % COLOURS, method == BASELINE
            )
            for method, of_method in lines.items()
        ]
        shots = sorted({point.x for of_method in lines.values() for point in of_method})
        name = f"{what} against shots a class, {group}: {', '.join(lines)}. The table has the numbers."
        chart = curves(name, series, x_title="shots per class", y_title=f"{what} (%)", x_values=shots, log=True)
        drawn.append((group, chart))
    return drawn


def _significance(table: TableFound) -> list[tuple[str, Markup]]:
    """For each column its heading, and how far every method is below the best."""
    drawn = []
    for column in table["columns"]:
        found = [(line["method"], e) for line in table["lines"] for e in line["entries"] if e["column"] == column]
        ranked = sorted(found, key=lambda pair: -pair[1]["mean"])
        best = max((e["mean"] for _, e in ranked if e["best"]), default=None)
        if best is None:
            continue
        rows = []
        for method, e in ranked:
            if (ends := e["less_best"]) is None:
                continue
            sign = f" {BEST}" if e["best"] else f" {TIED}" if e["tied"] else ""
            tip = f"{method}, {column}: {span(ends)} points less the best"
            low, high = (100 * end for end in ends)
            look = 2 if e["best"] else 0 if e["tied"] else 1
            rows.append(Interval(method + sign, 100 * (e["mean"] - best), low, high, tip, look))
        if len(rows) > 1:
            name = f"Points less the best, {column}, with 95 % intervals: {'; '.join(row.tip for row in rows)}"
            chart = intervals(name, rows, x_title=f"points less the best, {column}", zero=True)
            drawn.append((column, chart))
    return drawn
