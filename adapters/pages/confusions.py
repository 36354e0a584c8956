"""The confusion matrix of a page: its cells, and the images that each shows when it is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.arrays import Ints
from adapters.html.cards import Card
from adapters.pages.seen import Seen, Witness
from featcache.errors import visible

MOST_CLASSES = 24
"""Classes that are shown; of more, those that are confused most."""
WRONG_CARDS, RIGHT_CARDS = 6, 1
"""Images of a cell that are shown as cards."""
MOST_CARDS = 150
MOST_IDS, IDS_OF_CELL = 4_000, 100
"""Images that are named by their ids beside these: of the page, and of a cell."""
LEVELS = 6


@dataclass(frozen=True)
class MatrixCell:
    """A number of images of one class by what they are taken for; `name` says it, `level` is how deep its colour."""

    key: str
    images: int
    name: str
    right: bool
    level: int


@dataclass(frozen=True)
class Matrix:
    """What a page shows of the confusions.

    Attributes:
        names: of the classes that are shown.
        rows: a row of cells for each, by predicted class.
        chosen: key of the cell that is shown first: the most frequent confusion, if there is one.
        cards: images of the cells.
        others: by key `ids` of further images, and how many `more` there are.
        told: what the matrix leaves out; empty: nothing.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[MatrixCell, ...], ...]
    chosen: str
    cards: list[Card]
    others: dict[str, dict[str, Any]]
    told: str

    @property
    def chosen_name(self) -> str:
        """What the cell that is shown first says."""
        return next((cell.name for row in self.rows for cell in row if cell.key == self.chosen), "")


def matrix_of(witness: Witness, seen: Seen, counts: Ints) -> Matrix:
    """The matrix of counts (C, C), images of each class (row) by predicted class."""
    every = witness.run.class_names
    shown = _most_confused(counts)
    wrong = counts - np.diag(counts.diagonal())
    most, totals = max(int(wrong.max()), 1), counts.sum(1)
    names = tuple(every[c] for c in shown)
    rows = tuple(
        tuple(
            MatrixCell(
                f"{i}:{j}",
                int(counts[i, j]),
                _name(int(counts[i, j]), every[i], every[j], right=i == j),
                i == j,
                _level(counts[i, j] / max(totals[i], 1) if i == j else np.sqrt(wrong[i, j] / most)),
            )
            for j in shown
        )
        for i in shown
    )
    cells = sorted((cell for row in rows for cell in row if cell.images), key=lambda c: (c.right, -c.images))
    cards, others = _images(witness, seen, [cell.key for cell in cells])
    hidden = len(every) - len(shown)
    inside = int(wrong[np.ix_(shown, shown)].sum())
    told = (
        f"The {len(shown)} of {len(every):,} classes that are confused most; {inside:,} of the {int(wrong.sum()):,} "
        "wrong answers are among them."
        if hidden
        else ""
    )
    return Matrix(names, rows, cells[0].key if cells else "", cards, others, told)


def _most_confused(counts: Ints) -> list[int]:
    """Classes in order, those with most wrong answers where there are too many; a row without images says nothing."""
    there = np.flatnonzero((counts.sum(0) + counts.sum(1)) > 0)
    if len(there) <= MOST_CLASSES:
        return [int(c) for c in there]
    wrong = (counts - np.diag(counts.diagonal()))[np.ix_(there, there)]
    # Pairs first: classes that are taken for each other are to be seen together.
    found: dict[int, None] = {}
    for place in np.argsort(-wrong, axis=None, kind="stable"):
        pair = [int(there[c]) for c in np.unravel_index(place, wrong.shape)]
        if len({*found, *pair}) > MOST_CLASSES:
            break
        found.update(dict.fromkeys(pair))
    return sorted(found)


def _images(witness: Witness, seen: Seen, keys: list[str]) -> tuple[list[Card], dict[str, dict[str, Any]]]:
    """Cards of every cell, the surest images first, until there are enough; ids of the others."""
    cell_of = np.char.add(np.char.add(seen.rows.labels.astype(str), ":"), seen.predicted.astype(str))
    order = np.argsort(-seen.probability, kind="stable")
    members: dict[str, list[int]] = {}
    for at in order.tolist():
        members.setdefault(str(cell_of[at]), []).append(at)
    cards: list[Card] = []
    others: dict[str, dict[str, Any]] = {}
    named = 0
    for key in keys:
        of_cell = members[key]
        label, _, predicted = key.partition(":")
        room = min(RIGHT_CARDS if label == predicted else WRONG_CARDS, MOST_CARDS - len(cards))
        room = 0 if witness.pictures.full else room
        cards += witness.cards(seen, of_cell[:room], cell=True)
        rest = of_cell[room:]
        told = rest[: min(IDS_OF_CELL, MOST_IDS - named)]
        named += len(told)
        if rest:
            others[key] = {"ids": [visible(str(seen.rows.ids[at])) for at in told], "more": len(rest) - len(told)}
    return cards, others


def _name(images: int, label: str, predicted: str, *, right: bool) -> str:
    count = f"{images:,} image{'' if images == 1 else 's'} of {label}"
    return f"{count}, recognised" if right else f"{count} taken for {predicted}"


def _level(share: float) -> int:
    return max(1, int(np.ceil(LEVELS * share)))
