"""Images of a split as a saved head sees them, and as cards that show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from adapters.arrays import Doubles, Floats, Ints
from adapters.html.cards import Card
from adapters.html.pictures import Pictures
from adapters.metrics import row_blocks, softmax
from adapters.runs.image_rows import nearest_shots
from adapters.runs.opened import OpenedRun, shots_of
from adapters.scores import logits_in_blocks, tempered_logits
from adapters.tasks.split_rows import SplitRows, read_rows, read_split

if TYPE_CHECKING:
    from adapters.auditing.pool import Image

NEAREST = 3
"""Shots that are shown beside an image."""
NOBODY = "none"
"""The label of an image that has none."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Images of one split.

    Attributes:
        split: its name.
        rows: the N images.
        logits: (N, C), of which the soft-max are the head's probabilities.
    """

    split: str
    rows: SplitRows
    logits: Floats

    @cached_property
    def predicted(self) -> Ints:
        """The most probable class (N,)."""
        return np.asarray(self.logits.argmax(1))

    @cached_property
    def _probabilities(self) -> tuple[Doubles, Doubles]:
        own, best = np.full(len(self.rows), np.nan), np.empty(len(self.rows))
        for block in row_blocks(len(self.rows)):
            p, labels = softmax(self.logits[block]), self.rows.labels[block]
            known = np.flatnonzero(labels >= 0)
            best[block] = p.max(1)
            own[block][known] = p[known, labels[known]]
        return best, own

    @property
    def probability(self) -> Doubles:
        """Of the most probable class (N,)."""
        return self._probabilities[0]

    @property
    def of_label(self) -> Doubles:
        """Of the label (N,); NaN where there is none."""
        return self._probabilities[1]

    @property
    def wrong(self) -> Ints:
        """The images whose prediction is not their label."""
        return np.flatnonzero((self.predicted != self.rows.labels) & (self.rows.labels >= 0))


def about(p: float) -> str:
    """A probability where little room is: `93 %`, in one piece."""
    return f"{100 * p:.0f}\u00a0%"


class Witness:
    """A saved run that looks at images.

    Args:
        run: the run.
        pictures: the thumbnails of a page.
    """

    def __init__(self, run: OpenedRun, pictures: Pictures) -> None:
        self.run, self.pictures = run, pictures
        self.shots = shots_of(run.folder, run.cache)
        self._shot_rows = {int(row): place for place, row in enumerate(self.shots.rows)}

    def whole(self, split: str) -> Seen:
        """All labelled images of a split."""
        rows = read_split(self.run.cache, split)
        (logits,) = logits_in_blocks((self.run.head,), rows.blocks())
        return Seen(split, rows, logits)

    def some(self, split: str, rows: Ints) -> Seen:
        """Images of a split by their rows, ascending."""
        found = read_rows(self.run.cache[split], rows, with_views=False)
        return Seen(split, found, tempered_logits(self.run.head, found.images))

    def cards(
        self,
        seen: Seen,
        which: Sequence[int] | Ints,
        *,
        more: Sequence[Sequence[tuple[str, str]]] = (),
        cell: bool = False,
    ) -> list[Card]:
        """Cards of some images, in the order given.

        Args:
            seen: the images.
            which: their places in it.
            more: what else is said of each; empty: nothing.
            cell: whether the cards belong to the cells of a confusion matrix.
        """
        if not len(which):
            return []
        names = self.run.class_names
        order = np.asarray(which)
        rows, back = np.unique(seen.rows.rows[order], return_inverse=True)
        few = read_rows(self.run.cache[seen.split], rows, with_views=False)
        same_split = seen.split == "train"
        nearest = nearest_shots(few, self.shots, same_split=same_split, most=NEAREST)[back]
        found = []
        images = zip(order.tolist(), few.ids[back].tolist(), nearest.tolist(), more or [()] * len(order), strict=True)
        for at, image_id, near, said in images:
            label, predicted = int(seen.rows.labels[at]), int(seen.predicted[at])
            own = NOBODY if label < 0 else f"{names[label]} ({about(float(seen.of_label[at]))})"
            facts = [("label", own), ("predicted", f"{names[predicted]} ({about(float(seen.probability[at]))})")]
            if same_split and int(seen.rows.rows[at]) in self._shot_rows:
                facts.append(("", "one of the shots"))
            shown = names[predicted] if label < 0 else names[label]
            beside = [] if self.pictures.full else [shot for shot in near if shot >= 0]
            found.append(
                Card(
                    self.pictures.of(image_id, shown),
                    seen.split,
                    (*facts, *said),
                    [self.pictures.of(str(self.shots.ids[s]), names[self.shots.labels[s]]) for s in beside],
                    "most similar shots",
                    tuple(dict.fromkeys(names[c] for c in (label, predicted) if c >= 0)),
                    float(seen.probability[at]),
                    f"{label}:{predicted}" if cell else "",
                )
            )
        return found

    def cards_of(self, images: Sequence[Image], more: Sequence[Sequence[tuple[str, str]]]) -> list[Card]:
        """Cards of images of any split, in the order given, with what else is said of each."""
        made: dict[Image, Card] = {}
        said = dict(zip(images, more, strict=True))
        for split in dict.fromkeys(image.split for image in images):
            of_split = sorted((image for image in images if image.split == split), key=lambda image: image.row)
            seen = self.some(split, np.array([image.row for image in of_split]))
            cards = self.cards(seen, range(len(of_split)), more=[said[image] for image in of_split])
            made.update(zip(of_split, cards, strict=True))
        return [made[image] for image in images]
