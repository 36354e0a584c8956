"""A search to look at: its table, accuracy over shots with bands, differences with their intervals, and its picture.

A page is made of the object that `adapters search --json` prints and that a search keeps as `search.json`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from markupsafe import Markup

from adapters.html.curves import PLAIN, Point, Series, curves
from adapters.html.document import render
from adapters.html.intervals import Interval, intervals
from adapters.html.tables import Cell, number
from adapters.search.shown.summary import over_seeds, short
from adapters.selection.regimes import REGIMES
from adapters.show.numbers import MISSING, percent, points, shots_of, span
from featcache.records import checked

PICTURES = {".svg": "image/svg+xml", ".png": "image/png"}
MOST_BYTES = 2_000_000
"""Of the search's picture; a larger one is left out."""


class LineFound(TypedDict):
    """A number of shots, as `adapters.search.shown.summary.Summary`."""

    shots: int
    zero_shot: float
    default: float
    default_std: float | None
    chosen: float
    chosen_std: float | None
    less_zero_shot: tuple[float, float]
    less_default: tuple[float, float]
    selection: float | None
    settings: dict[str, list[Any]]
    seconds: float


class SelectionFound(TypedDict):
    """How the chosen setting did on the rows that chose it."""

    accuracy: float | None
    rows: int


class ChosenFound(TypedDict):
    """What was chosen for a draw."""

    shots: int
    seed: int
    hyperparameters: dict[str, Any]
    selection: SelectionFound
    test: dict[str, float]


class FilesFound(TypedDict):
    """Where its files are."""

    picture: str


class Found(TypedDict):
    """What of a search's JSON the page is made of."""

    title: str
    method: str
    select: str
    seeds: list[int]
    best: list[ChosenFound]
    summary: list[LineFound]
    settings: int
    notes: list[str]
    files: FilesFound


def search_html(content: Mapping[str, Any]) -> str:
    """The page of what `adapters search --json` printed.

    Raises:
        Malformed: it is something else; the message names the field.
    """
    found = checked(content, Found)
    kind, *facts = found["title"].split(" · ")
    varied = list(dict.fromkeys(name for line in found["summary"] for name in line["settings"]))
    names = ("shots", "zero-shot", "by default", "chosen", "less zero-shot", "less default", "selection", "s")
    options = list(dict.fromkeys(name for each in found["best"] for name in each["hyperparameters"]))
    regime = REGIMES.get(found["select"])
    return render(
        "search.html",
        kind="search",
        title=f"{kind.removeprefix('search ')} on {facts[0]}" if facts else kind,
        lead=" · ".join([*facts[1:], f"{found['settings']:,} settings"]),
        warning=regime.warning if regime else "",
        notes=found["notes"],
        columns=[(name, "number") for name in (*names, *varied)],
        rows=[_row(line, varied) for line in found["summary"]],
        curves=_curves(found),
        differences=_differences(found),
        picture=_picture(Path(found["files"]["picture"])),
        best_columns=[(name, "number") for name in ("shots", "seed", *options, "selection", "chosen", "by default")],
        best=[_draw(each, options) for each in found["best"]],
        pictures={},
    )


def _row(line: LineFound, varied: list[str]) -> list[Cell]:
    named = {name: f"{shots_of(line['shots'])}, {name}" for name in ("zero-shot", "by default", "chosen")}
    default = points(line["default"], line["default_std"])
    chosen = points(line["chosen"], line["chosen_std"])
    return [
        number(str(line["shots"]), line["shots"]),
        number(points(line["zero_shot"]), line["zero_shot"], f"{named['zero-shot']}: {points(line['zero_shot'])} %"),
        number(default, line["default"], f"{named['by default']}: {default} %"),
        number(chosen, line["chosen"], f"{named['chosen']}: {chosen} %", "best"),
        _less(line["less_zero_shot"]),
        _less(line["less_default"]),
        number(points(line["selection"]), line["selection"]),
        number(f"{line['seconds']:.1f}", line["seconds"]),
        *(Cell(over_seeds(line["settings"].get(name, []))) for name in varied),
    ]


def _less(ends: tuple[float, float]) -> Cell:
    mark = "" if ends[0] <= 0 <= ends[1] else "sure" if ends[0] > 0 else "worse"
    return number(span(ends), sum(ends) / 2, "", mark)


def _draw(each: ChosenFound, options: list[str]) -> list[Cell]:
    settings = each["hyperparameters"]
    selected, test = each["selection"]["accuracy"], each["test"]
    return [
        number(str(each["shots"]), each["shots"]),
        number(str(each["seed"]), each["seed"]),
        *(Cell(short(settings[name]) if name in settings else MISSING) for name in options),
        number(percent(selected) or MISSING, selected, f"on {each['selection']['rows']:,} held-out rows"),
        number(percent(test["chosen"]), test["chosen"]),
        number(percent(test["default"]), test["default"]),
    ]


def _curves(found: Found) -> Markup:
    series = []
    for look, (name, key) in enumerate((("chosen", "chosen"), ("by default", "default"), ("zero-shot", "zero_shot"))):
        line = []
        for each in found["summary"]:
            mean, std = (each.get(name) for name in (key, f"{key}_std"))
            assert isinstance(mean, float)
            low, high = (100 * (mean - std), 100 * (mean + std)) if isinstance(std, float) else (None, None)
            tip = f"{name}, {shots_of(each['shots'])}: {points(mean, std if isinstance(std, float) else None)} %"
            line.append(Point(float(each["shots"]), 100 * mean, low, high, tip))
        series.append(Series(name, line, PLAIN if key == "zero_shot" else look, key == "zero_shot"))
    said = "Test accuracy against shots a class: chosen, by default and zero-shot. The table has the numbers."
    shots = [float(each["shots"]) for each in found["summary"]]
    return curves(said, series, x_title="shots per class", y_title="test accuracy (%)", x_values=shots, log=True)


def _differences(found: Found) -> Markup:
    rows = []
    for key, name, base in (
        ("less_zero_shot", "less zero-shot", "zero_shot"),
        ("less_default", "less default", "default"),
    ):
        for each in found["summary"]:
            low, high = each[key]  # type: ignore[literal-required]
            middle = each["chosen"] - each[base]  # type: ignore[literal-required]
            tip = f"{shots_of(each['shots'])}, {name}: {span((low, high))} points"
            look = 0 if low <= 0 <= high else 2 if low > 0 else 1
            rows.append(Interval(f"{shots_of(each['shots'])}, {name}", 100 * middle, 100 * low, 100 * high, tip, look))
    said = f"Points of the chosen less the other, with 95 % intervals: {'; '.join(row.tip for row in rows)}"
    return intervals(said, rows, x_title="points, 95 % intervals", zero=True)


def _picture(path: Path) -> str:
    """The search's own picture as a data URI; empty where it is gone or too large for a page."""
    try:
        content = path.read_bytes() if path.suffix in PICTURES and path.stat().st_size <= MOST_BYTES else b""
    except OSError:
        content = b""
    return f"data:{PICTURES[path.suffix]};base64,{base64.b64encode(content).decode()}" if content else ""
