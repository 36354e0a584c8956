"""Heads that have not seen some of the shots: what can be learned about new images from the shots alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sklearn.base import clone

from adapters.support import shot_folds

if TYPE_CHECKING:
    from adapters.arrays import Ints
    from adapters.head import Head
    from adapters.tasks.split_rows import SplitRows

FOLDS = 4
"""Folds over the shots: the head is fitted that many times more."""


class OfShots(Protocol):
    """What of a lesson is needed here."""

    @property
    def support(self) -> SplitRows:
        """The shots."""

    @property
    def text(self) -> Any:
        """The classes' text."""


class LeftOut(NamedTuple):
    """A head that was fitted on the rows `kept` of the support, and the rows `out` that it has not seen."""

    head: Head
    kept: Ints
    out: Ints


def left_out(head: Head, lesson: OfShots) -> Iterator[LeftOut]:
    """The head fitted again without some shots of every class; none where no class has two."""
    support = lesson.support
    for kept, out in shot_folds(support.labels, FOLDS):
        yield LeftOut(clone(head).fit(support.inputs[kept], support.labels[kept], text=lesson.text), kept, out)
