"""How the columns of a table share the width of a terminal: as they are, folded, in several tables, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BORDER, LAST_BORDER = 3, 1
"""Signs that stand around each column, and after the last one."""
READABLE = 12
"""Letters of a line, below which folded text is hard to read."""


@dataclass(frozen=True)
class Column:
    """The widths of a column, in letters.

    Attributes:
        natural: of its longest cell or of its heading.
        least: below which a word or a number would be broken.
    """

    natural: int
    least: int

    @classmethod
    def of(cls, longest: int, longest_word: int, *, number: bool) -> Column:
        """Of text, which may be folded between words, or of numbers, which may not."""
        return cls(longest, longest if number else min(longest, max(longest_word, READABLE)))


Group = dict[int, int]
"""Columns that stand side by side: place in the table to width."""


def share(columns: Sequence[Column], room: int) -> list[Group] | None:
    """Groups of columns that fit side by side, each begun by the first column, which says what a row is.

    One group if all fit; None where not even the first column and one other do.

    Args:
        columns: their widths.
        room: the width of the terminal.
    """
    groups = [[0]]
    for place in range(1, len(columns)):
        if _total(columns[each].least for each in [*groups[-1], place]) <= room:
            groups[-1].append(place)
        else:
            groups.append([0, place])
    if any(_total(columns[place].least for place in group) > room for group in groups):
        return None
    return [dict(zip(group, _widths([columns[place] for place in group], room), strict=True)) for group in groups]


def _widths(columns: Sequence[Column], room: int) -> list[int]:
    """Natural widths, the widest reduced first until all fit."""
    widths = [column.natural for column in columns]
    while _total(widths) > room:
        slack = [place for place, column in enumerate(columns) if widths[place] > column.least]
        widths[max(slack, key=lambda place: widths[place])] -= 1
    return widths


def _total(widths: Iterable[int]) -> int:
    return sum(width + BORDER for width in widths) + LAST_BORDER
