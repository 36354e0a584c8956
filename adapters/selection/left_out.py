"""Heads that have not seen some of the shots: what can be learned about new images from the shots alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.base import clone

from adapters.selection.regimes import OfShots, learnt_from
from adapters.support import shot_folds

if TYPE_CHECKING:
    from adapters.arrays import Ints
    from adapters.head import Head

FOLDS = 4
"""Folds over the shots: the head is fitted that many times more."""


class LeftOut(NamedTuple):
    """A head that was fitted on the rows `kept` of the support, and the rows `out` that it has not seen."""

    head: Head
    kept: Ints
    out: Ints


def left_out(head: Head, lesson: OfShots) -> Iterator[LeftOut]:
    """The head fitted again without some shots of every class; none where no class has two."""
    shots, rows = len(lesson.support), learnt_from(head, lesson)
    for kept, out in shot_folds(lesson.support.labels, FOLDS):
        these = np.concatenate([kept, np.arange(shots, len(rows))])  # what has no label stays in every fold
        yield LeftOut(clone(head).fit(rows.inputs[these], rows.labels[these], text=lesson.text), kept, out)
