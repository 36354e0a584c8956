"""Numbers with the intervals around them, one a line: scores, and differences against a line at zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from adapters.html.axes import Axis, round_numbers, written
from adapters.html.curves import LETTER
from adapters.html.svg import drawing, element, line, text

WIDTH, TOP, BOTTOM, STEP = 460.0, 8.0, 40.0, 24.0


@dataclass(frozen=True)
class Interval:
    """One line: its name, the number and the ends around it, what names it under the pointer, and which colour."""

    name: str
    middle: float
    low: float
    high: float
    tip: str
    look: int


def intervals(name: str, rows: Sequence[Interval], *, x_title: str, zero: bool = False) -> Markup:
    """Draw at least one interval.

    Args:
        name: what is shown, in a sentence that a screen reader says.
        rows: from top to bottom.
        x_title: what stands below.
        zero: whether a line stands at zero.
    """
    ends = [end for row in rows for end in (row.low, row.high)] + ([0.0] if zero else [])
    marks = round_numbers(min(ends), max(ends))
    left = min(LETTER * max(len(row.name) for row in rows) + 12, 200.0)
    height = TOP + STEP * len(rows) + BOTTOM
    x = Axis(marks[0], marks[-1], left, WIDTH - 16)
    floor = TOP + STEP * len(rows)
    parts = [text((x.start + x.stop) / 2, height - 8, x_title, "soft middle")]
    for mark, said in zip(marks, written(marks), strict=True):
        kind = "axis" if zero and abs(mark) < 1e-9 else "gridline"
        parts += [line(x.at(mark), TOP, x.at(mark), floor, kind), text(x.at(mark), floor + 14, said, "soft middle")]
    for place, row in enumerate(rows):
        y = TOP + STEP * (place + 0.5)
        parts.append(text(left - 10, y, row.name, "end"))
        parts.append(line(x.at(row.low), y, x.at(row.high), y, f"whisker ks{row.look}"))
        dot = {"cx": x.at(row.middle), "cy": y, "r": 5.0}
        parts.append(element("circle", **dot, class_=f"kf{row.look}", data_tip=row.tip))
    return drawing(name, (WIDTH, height), parts)
