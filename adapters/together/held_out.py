"""What a head takes images for that it has not learned from: validation images, else shots left out in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from adapters.arrays import Ints
from adapters.errors import AdapterError
from adapters.scores import logits_in_blocks
from adapters.selection.left_out import left_out
from adapters.selection.regimes import OfShots

if TYPE_CHECKING:
    from adapters.head import Head
    from adapters.tasks.split_rows import SplitRows


class HeldOut(NamedTuple):
    """Classes (M,) that images are taken for, the classes (M,) that they have, and which images they are."""

    predicted: Ints
    labels: Ints
    what: str


def held_out(head: Head, lesson: OfShots, val: SplitRows | None) -> HeldOut:
    """What is known of a fitted head's mistakes without the test split.

    Args:
        head: fitted.
        lesson: the shots that it learned from, and the text.
        val: the validation split; None: there is none, or it is not to be used.

    Raises:
        AdapterError: no image is left.
    """
    if val is not None:
        (logits,) = logits_in_blocks((head,), val.blocks())
        return HeldOut(logits.argmax(1), val.labels, "validation rows")
    images, labels = lesson.support.images, lesson.support.labels
    found = [(other.decision_function(images[out]).argmax(1), labels[out]) for other, _, out in left_out(head, lesson)]
    if not found:
        raise AdapterError(
            "--prior bbse learns from images that the head has not, and one shot a class leaves none without a val "
            "split that is neither answered nor learned from: type --prior em"
        )
    predicted, truth = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return HeldOut(predicted, truth, "shots, left out in turn")
