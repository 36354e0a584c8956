"""Lines over a common axis, with bands, each named at its end: accuracy against shots, alpha or confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from adapters.html.axes import Axis, round_numbers, written
from adapters.html.svg import drawing, element, line, text
from adapters.show.spreading import spread_out

WIDTH, TOP, BOTTOM, LEFT = 460.0, 12.0, 44.0, 44.0
PLOT = 230.0
LETTER = 6.8
"""Width of a letter of 12 pixels, about."""
LEAST_APART = 14.0
COLOURS = 9
"""Looks from 0 on that the style has a colour of; the next one is the colour of text."""
PLAIN = 9
"""The look of what others are compared with."""


@dataclass(frozen=True)
class Point:
    """Where a line passes, the ends of its band there, what names it under the pointer, and how large its mark is."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    tip: str = ""
    radius: float = 3.5


@dataclass(frozen=True)
class Series:
    """One line.

    Attributes:
        name: written at its end; empty: nothing is.
        points: from left to right.
        look: which colour.
        dashed: what others are compared with.
        marked: whether every point has a mark.
    """

    name: str
    points: Sequence[Point]
    look: int
    dashed: bool = False
    marked: bool = True


def curves(
    name: str,
    series: Sequence[Series],
    *,
    x_title: str,
    y_title: str,
    x_values: Sequence[float] | None = None,
    log: bool = False,
    y_range: tuple[float, float] | None = None,
    diagonal: bool = False,
) -> Markup:
    """Draw lines; at least one has a point.

    Args:
        name: what is shown, in a sentence that a screen reader says.
        series: the lines.
        x_title: what stands below.
        y_title: what stands above the axis.
        x_values: numbers written below; None: round ones.
        log: the lower axis is of logarithms.
        y_range: ends of the other axis; None: from what there is.
        diagonal: whether a dashed line says where both are equal.
    """
    points = [point for each in series for point in each.points]
    heights = [end for p in points for end in (p.y, p.low, p.high) if end is not None]
    marks_y = round_numbers(*(y_range or (min(heights), max(heights))))
    marks_x = list(x_values) if x_values else round_numbers(min(p.x for p in points), max(p.x for p in points))
    names = max(len(each.name) for each in series)
    right = min(26 + LETTER * names, 160.0)
    plot = max(PLOT, LEAST_APART * sum(bool(each.name) for each in series))
    height = TOP + 14 + plot + BOTTOM
    x = Axis(min(marks_x), max(marks_x), LEFT, WIDTH - right, log)
    y = Axis(marks_y[0], marks_y[-1], TOP + 14 + plot, TOP + 14)
    parts = [text(0, TOP - 4, y_title, "soft"), text((x.start + x.stop) / 2, height - 10, x_title, "soft middle")]
    for mark, said in zip(marks_y, written(marks_y), strict=True):
        parts += [
            line(x.start, y.at(mark), x.stop, y.at(mark), "gridline"),
            text(LEFT - 8, y.at(mark), said, "soft end"),
        ]
    for mark, said in zip(marks_x, written(marks_x), strict=True):
        parts.append(text(x.at(mark), y.start + 16, said, "soft middle"))
    parts.append(line(x.start, y.start, x.stop, y.start, "axis"))
    if diagonal:
        parts.append(line(x.at(x.low), y.at(x.low), x.at(x.high), y.at(x.high), "dashed"))
    for each in series:
        parts += _series(each, x, y)
    return drawing(name, (WIDTH, height), [*parts, *_names(series, x, y, plot)])


def _series(each: Series, x: Axis, y: Axis) -> list[Markup]:
    parts = []
    band = [(p.x, p.low, p.high) for p in each.points if p.low is not None and p.high is not None]
    if len(band) > 1:
        edge = [(at, high) for at, _, high in band] + [(at, low) for at, low, _ in reversed(band)]
        parts.append(element("path", d=_path(edge, x, y) + "Z", class_=f"band kf{each.look}"))
    stroke = "dashed" if each.dashed else f"curve ks{each.look}"
    parts.append(element("path", d=_path([(p.x, p.y) for p in each.points], x, y), class_=stroke))
    for p in each.points if each.marked else ():
        at = {"cx": x.at(p.x), "cy": y.at(p.y), "r": float(p.radius)}
        parts.append(element("circle", **at, class_=f"kf{each.look}", data_tip=p.tip or None))
    return parts


def _path(points: Sequence[tuple[float, float]], x: Axis, y: Axis) -> str:
    return "M" + "L".join(f"{x.at(a):.1f} {y.at(b):.1f}" for a, b in points)


def _names(series: Sequence[Series], x: Axis, y: Axis, plot: float) -> list[Markup]:
    """Names right of the lines, moved apart where they would overlap."""
    ends = sorted(((y.at(each.points[-1].y), each) for each in series if each.name), key=lambda end: end[0])
    wanted = [min(max((at - y.stop) / plot, 0.0), 1.0) for at, _ in ends]
    parts = []
    for (at, each), place in zip(ends, spread_out(wanted, LEAST_APART / plot), strict=True):
        height, last = y.stop + place * plot, x.at(each.points[-1].x)
        corner = f"M{last + 5:.1f} {at:.1f}L{x.stop + 14:.1f} {height:.1f}"
        parts.append(element("path", d=corner, class_=f"leader ks{each.look}"))
        parts.append(text(x.stop + 18, height, each.name, f"kf{each.look}"))
    return parts
