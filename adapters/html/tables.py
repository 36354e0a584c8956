"""Cells of tables, which a reader can sort."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from adapters.html.svg import drawing, element

BAR = (176.0, 20.0)


@dataclass(frozen=True)
class Cell:
    """What is shown, what it is sorted by if not by that, what names it under the pointer, its class in the style."""

    shown: str
    key: float | str | None = None
    tip: str = ""
    mark: str = ""


def number(shown: str, value: float | None, tip: str = "", mark: str = "") -> Cell:
    """A number that is sorted as it is; None goes below all."""
    return Cell(shown, "" if value is None else value, tip, mark)


def bar(name: str, filled: float | None, marked: float | None) -> Markup:
    """A share as a bar, and another as a mark on it; both in [0, 1], None where there is none."""
    width, height = BAR
    parts = [element("rect", x=0.0, y=5.0, width=width, height=10.0, rx=3.0, class_="track")]
    if filled:
        parts.append(element("rect", x=0.0, y=5.0, width=width * filled, height=10.0, rx=3.0, class_="fill"))
    if marked is not None:
        at = min(max(width * marked - 2.5, 0.0), width - 5)
        parts.append(element("rect", x=at, y=1.0, width=5.0, height=height - 2, rx=1.5, class_="mark"))
    return drawing(name, BAR, parts, "bar")
