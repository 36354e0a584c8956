"""What a head answers beside one class, learned once its fit is done: none of these, and sets of classes.

Both rest on images that no head was fitted on: those that the selection regime holds out, else the shots, left out in
turn. The promise is exact for held-out images that chose nothing either; it knows nothing of settings or a temperature
that were chosen on the very same images. And heads that were fitted on fewer shots are not the head that answers:
mostly they are less sure, which gives too few refusals and too large sets, but a head whose scale goes with the number
of shots, as `gda`, may give sets that hold the truth less often than was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from adapters.answers.likeness import Likeness
from adapters.answers.prediction_sets import per_class, prediction_sets, set_thresholds
from adapters.answers.rejection import least_rows, rejection_threshold
from adapters.arrays import Floats, Ints, text_weights
from adapters.errors import AdapterError
from adapters.metrics import Interval, softmax, wilson
from adapters.scores import tempered_logits
from adapters.selection.left_out import left_out

if TYPE_CHECKING:
    from adapters.head import Head
    from adapters.selection.regimes import Lesson, Regime
    from adapters.tasks.split_rows import SplitRows


@dataclass(frozen=True, eq=False)
class Answers:
    """Thresholds of a head; what was not asked for is None.

    Attributes:
        reject: share of known images that may be refused.
        likeness: what their score compares images with.
        threshold: below this score an image is none of the classes.
        coverage: share of images whose class is to be in their set.
        thresholds: of the set, of every class (C,).
        note: what must be said beside them; may be empty.
    """

    reject: float | None = None
    likeness: Likeness | None = None
    threshold: float = -math.inf
    coverage: float | None = None
    thresholds: NDArray[np.float64] | None = None
    note: str = ""

    @classmethod
    def learn(
        cls, head: Head, lesson: Lesson, regime: Regime, *, reject: float | None = None, coverage: float | None = None
    ) -> Self:
        """Learn the thresholds of a fitted head.

        Args:
            head: fitted, and calibrated if it is to be.
            lesson: what it learned from.
            regime: what else may be looked at.
            reject: a share in (0, 1), or None.
            coverage: a share in (0, 1), or None.

        Raises:
            AdapterError: no image is left to learn from.
        """
        if reject is None and coverage is None:
            return cls()
        rows, support = _unseen(head, lesson, regime), lesson.support
        notes = [f"thresholds learned from {len(rows.labels):,} {rows.what}"]
        found: dict[str, Any] = {}
        if reject is not None:
            found["likeness"] = Likeness.of(support.images, support.labels, text_weights(lesson.text))
            found["threshold"] = rejection_threshold(rows.likeness, reject)
            if len(rows.labels) < least_rows(reject):
                notes.append(f"nothing is refused: --reject {reject:g} needs {least_rows(reject)} of them")
        if coverage is not None:
            p = softmax(rows.logits)
            found["thresholds"] = set_thresholds(p, rows.labels, coverage)
            notes.append(
                "sets class by class" if per_class(rows.labels, p.shape[1], coverage) else "sets over all classes"
            )
        return cls(reject=reject, coverage=coverage, note=", ".join(notes), **found)

    def rejected(self, images: Floats) -> NDArray[np.bool_] | None:
        """Whether each of the images (N, D) is none of the classes; None where that was not asked for."""
        return None if self.likeness is None else self.likeness.scores(images) < self.threshold

    def sets(self, p: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """Which classes are in the sets of images with these probabilities (N, C); None where it was not asked for."""
        return None if self.thresholds is None else prediction_sets(p, self.thresholds)


class _Unseen(NamedTuple):
    logits: Floats
    labels: Ints
    likeness: NDArray[np.float64]
    what: str


def _unseen(head: Head, lesson: Lesson, regime: Regime) -> _Unseen:
    """Images that neither the head nor what they are compared with has learned from."""
    support, text = lesson.support, text_weights(lesson.text)
    if (held_out := regime.held_out(lesson)) is not None:
        images, labels = held_out
        like = Likeness.of(support.images, support.labels, text).scores(images)
        return _Unseen(tempered_logits(head, images), labels, like, regime.looks_at)
    found: list[tuple[Floats, Ints, NDArray[np.float64]]] = []
    for other, kept, out in left_out(head, lesson):
        images = support.images[out]
        like = Likeness.of(support.images[kept], support.labels[kept], text).scores(images)
        found.append((other.decision_function(images) / head.temperature_, support.labels[out], like))
    if not found:
        raise AdapterError(
            "one shot a class leaves no image to learn --reject and --coverage from: "
            "type --shots 2 or more, or --select val"
        )
    logits, labels, likeness = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return _Unseen(logits, labels, likeness, "shots (left out in turn, so that what was asked is met about)")


@dataclass(frozen=True)
class Answered:
    """What came of the thresholds on a split with labels; fractions, None where they were not asked for.

    Attributes:
        refused: share of the images that are none of the classes by their score.
        covered: share whose class is in their set, and its 95 % interval.
        size: classes in a set, on average.
        empty: share of the sets that hold no class.
    """

    refused: float | None
    covered: float | None
    covered_interval: Interval | None
    size: float | None
    empty: float | None


def answered(answers: Answers, head: Head, blocks: Iterable[Floats], labels: Ints) -> Answered:
    """Count on a split whose features come in blocks (B, D), with labels (N,)."""
    refused, held, sizes, start = 0, 0, [], 0
    for images in blocks:
        own = labels[start : start + len(images)]
        start += len(images)
        if (rejected := answers.rejected(images)) is not None:
            refused += int(rejected.sum())
        if (sets := answers.sets(softmax(tempered_logits(head, images)))) is not None:
            held += int(sets[np.arange(len(own)), own].sum())
            sizes.append(sets.sum(1))
    share = None if answers.likeness is None else refused / len(labels)
    if not sizes:
        return Answered(share, None, None, None, None)
    size = np.concatenate(sizes)
    covered = held / len(labels), wilson(held, len(labels))
    return Answered(share, *covered, float(size.mean()), float((size == 0).mean()))


def told_of(answers: Answers, head: Head, rows: SplitRows) -> dict[str, Any] | None:
    """What was asked for, where it was learned, and what came of it on a split, as JSON-able values; None: nothing."""
    if answers.reject is None and answers.coverage is None:
        return None
    asked = {"reject": answers.reject, "coverage": answers.coverage, "note": answers.note}
    return {**asked, **asdict(answered(answers, head, rows.blocks(), rows.labels))}
