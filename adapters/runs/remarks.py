"""What is true of a run's numbers and should be known before they are quoted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from adapters.arrays import Ints
from adapters.metrics import Difference
from adapters.scores import Scores
from adapters.show.numbers import percent

FEW_ROWS_OF_A_CLASS = 10
FEW_ROWS = 100
ECE_TO_MEND = 0.10
NAMED = 5
"""Classes that are named; of more, the number is given."""


def remarks(
    *,
    method: str,
    zero_shot: Scores,
    tested: Scores,
    less_zero_shot: Difference,
    counts: Ints,
    class_names: Sequence[str],
    ece_uncalibrated: float | None,
) -> Iterator[str]:
    """One sentence each, the gravest first.

    Args:
        method: name of the method.
        zero_shot: scores of zero-shot on the test split.
        tested: of the head.
        less_zero_shot: the head less zero-shot there.
        counts: test rows of every class (C,).
        class_names: the C names.
        ece_uncalibrated: ECE of the head before a temperature was fitted; None: none was.
    """
    chance = 1 / len(counts)
    if zero_shot.balanced_accuracy_interval[0] <= chance:
        yield (
            f"zero-shot is no better than chance ({percent(zero_shot.balanced_accuracy)} balanced, chance is "
            f"{percent(chance)}): try other class names (--class-names), prompts (featcache text) or another encoder"
        )
    is_other = method != "zero-shot"
    if is_other and less_zero_shot.accuracy < 0:
        yield (
            f"the head is below zero-shot by {-100 * less_zero_shot.accuracy:.2f} points: use zero-shot, or try auto, "
            "more shots or other prompts"
        )
    elif is_other and not less_zero_shot.sure:
        low, high = (100 * end for end in less_zero_shot.interval)
        yield (
            f"the difference to zero-shot, {100 * less_zero_shot.accuracy:+.2f} points, may be chance (95 % interval "
            f"{low:+.2f} to {high:+.2f}): take more seeds or more test images"
        )
    if tested.rows < FEW_ROWS:
        yield f"the test split has only {tested.rows} images: no difference of a few points can be seen on it"
    few = [f"{name} ({n})" for name, n in zip(class_names, counts, strict=True) if n < FEW_ROWS_OF_A_CLASS]
    if few:
        more = f" and {len(few) - NAMED} more" if len(few) > NAMED else ""
        yield (
            f"{len(few)} of {len(counts)} classes have fewer than {FEW_ROWS_OF_A_CLASS} test images: "
            f"{', '.join(few[:NAMED])}{more}"
        )
    if ece_uncalibrated is not None:
        yield f"--calibrate changed the ECE from {percent(ece_uncalibrated)} to {percent(tested.ece)}"
    elif tested.ece > ECE_TO_MEND:
        yield f"probabilities are off by {percent(tested.ece)} on average (ECE): fit with --calibrate --select support"
