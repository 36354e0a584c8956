"""A fitted head and zero-shot on the validation and the test split, and what must be said of their numbers.

The one place of a fit where test labels are compared with anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters import metrics
from adapters.arrays import Ints
from adapters.head import Head
from adapters.metrics import Difference, difference
from adapters.runs.remarks import remarks
from adapters.scores import Scores, logits_in_blocks, score_logits
from adapters.selection.regimes import Lesson
from adapters.show.numbers import percent


@dataclass(frozen=True, eq=False)
class Examination:
    """What the splits say.

    Attributes:
        method: name of the head's method.
        scores: `zero_shot` and `test` on the test split; `val` of the head, None without a validation split.
        ece: `zero_shot` and `test`, over bins of equal width.
        difference: the head less zero-shot on the test split.
        counts: test rows of every class (C,).
        ece_uncalibrated: of the head on the test split before a temperature was fitted; None: none was.
    """

    method: str
    scores: Mapping[str, Scores | None]
    ece: dict[str, float]
    difference: Difference
    counts: Ints
    ece_uncalibrated: float | None

    @property
    def largest_class(self) -> float:
        """Its share of the test split."""
        return float(self.counts.max() / self.counts.sum())

    @property
    def imbalance(self) -> float:
        """Test rows of the largest class over those of the smallest that has any."""
        return float(self.counts.max() / self.counts[self.counts > 0].min())

    def remarks(self, class_names: Sequence[str]) -> list[str]:
        """What should be known of the numbers; see `adapters.runs.remarks`."""
        baseline, tested = self.scores["zero_shot"], self.scores["test"]
        assert baseline is not None
        assert tested is not None
        found = remarks(
            method=self.method,
            zero_shot=baseline,
            tested=tested,
            less_zero_shot=self.difference,
            counts=self.counts,
            class_names=class_names,
            ece_uncalibrated=self.ece_uncalibrated,
        )
        return list(found)


def examine(head: Head, zero_shot: Head, task: Lesson, *, on_val: Head | None = None) -> Examination:
    """Score a fitted head and zero-shot.

    Args:
        head: that is scored on the test split.
        zero_shot: that stands beside it.
        task: the splits, and the classes' text.
        on_val: the head that is scored on the validation split, where another has learned from that; None: `head`.
    """
    val, test = task.val, task.test
    baseline, tested = logits_in_blocks((zero_shot, head), test.blocks())
    validated = None if val is None else logits_in_blocks((on_val or head,), val.blocks())[0]
    scores = {
        "zero_shot": score_logits(baseline, test.labels),
        "val": None if val is None or validated is None else score_logits(validated, val.labels),
        "test": score_logits(tested, test.labels),
    }
    calibrated = head.temperature_ != 1.0
    return Examination(
        method=head.method,
        scores=scores,
        ece={"zero_shot": metrics.ece(baseline, test.labels), "test": metrics.ece(tested, test.labels)},
        difference=difference(*(logits.argmax(1) == test.labels for logits in (tested, baseline))),
        counts=np.bincount(test.labels, minlength=len(task.text.class_names)),
        ece_uncalibrated=metrics.ece_equal_mass(tested * head.temperature_, test.labels) if calibrated else None,
    )


def refit_told(task: Lesson, first: Head) -> dict[str, Any]:
    """What a head was fitted on once more, and whose scores those of its report are.

    Args:
        task: the splits; there is a validation split.
        first: the head before it, which has not learned from that.
    """
    assert task.val is not None
    (logits,) = logits_in_blocks((first,), task.test.blocks())
    before = float((logits.argmax(1) == task.test.labels).mean())
    told = (
        f"fitted once more on {len(task.support):,} images of train and {len(task.val):,} of val, with the settings "
        f"chosen before; the test scores are this head's, those of val are of the head before it (test "
        f"{percent(before)})"
    )
    return {"images": {"train": len(task.support), "val": len(task.val)}, "test_before": before, "told": told}
