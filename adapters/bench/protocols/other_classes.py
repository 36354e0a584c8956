"""A head for classes that it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from adapters.abilities import ClassesFromNeighbours, ClassesFromText, Online
from adapters.bench.protocols.learning import ADAPTED, BY_OWN, BY_TEXT
from adapters.head import Head
from adapters.methods import BASELINE, zero_shot
from adapters.tasks.split_rows import SplitRows

if TYPE_CHECKING:
    from adapters.bench.protocols.classes import TextOfClasses
    from featcache.cache.text_sets import TextFeatures


def other_classes(
    head: Head, text: TextOfClasses | TextFeatures, fitted: SplitRows, shots: Callable[[], SplitRows]
) -> tuple[Head, str]:
    """A head for classes that `head` was not fitted on, and how it came about.

    A head that offers `adapt(X, y, *, text)`, an online call, gets the classes' `shots`. One that offers
    `for_new_classes(X, *, text)` gets the rows that it was `fitted` on. Where what was learned is bound to the fitted
    classes, the answer is zero-shot.
    """
    if isinstance(head, Online):
        rows = shots()
        return head.adapt(rows.inputs, rows.labels, text=text), ADAPTED
    if isinstance(head, ClassesFromNeighbours):
        return head.for_new_classes(fitted.inputs, text=text), BY_OWN
    if isinstance(head, ClassesFromText):
        return head.for_classes(text), "" if head.method == BASELINE else BY_OWN
    return zero_shot(text), BY_TEXT
