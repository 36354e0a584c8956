"""Choosing one hyper-parameter of a trained head by training once for every value, all values together."""

from __future__ import annotations

from adapters.head import Head
from adapters.parameters import parameters_of
from adapters.selection.alpha_choice import NOTHING_BETTER
from adapters.selection.held_out import held_out_splits, right
from adapters.support import Rows, Support
from adapters.training.stacking import fit_supports

FOLDS = 2
"""Folds over the shots when only the support may be looked at: a training for every value and fold is the cost."""


def choose_by_refit(head: Head, support: Support, rows: Rows | None, name: str) -> None:
    """Give a head the value that gets most held-out rows right; the middle one of equals (the lower of two middles).

    Where all values get as many right, the head keeps its own and says so (`NOTHING_BETTER`).

    Args:
        head: an unfitted clone; its other hyper-parameters are trained with.
        support: what is trained on.
        rows: held-out rows; None: shots are held out of the support in `FOLDS` folds, whose counts add up.
        name: the hyper-parameter; what is tried stands beside it in the constructor (`adapters.parameters.Tried`).
    """
    values = parameters_of(type(head))[name].tried
    splits = held_out_splits(support, rows, FOLDS)
    settings = [{**head.get_params(), name: value} for value in values]
    heads = [type(head)(**setting) for setting in settings for _ in splits]
    for _ in fit_supports(heads, [kept for _ in values for kept, _ in splits]):
        pass
    correct = [right(trained, out) for trained, (_, out) in zip(heads, [*splits] * len(values), strict=True)]
    counts = [sum(correct[i : i + len(splits)]) for i in range(0, len(correct), len(splits))]
    best = [value for value, count in zip(values, counts, strict=True) if count == max(counts)]
    if len(best) == len(values):
        head.selection_note_ = NOTHING_BETTER
    else:
        head.set_params(**{name: best[(len(best) - 1) // 2]})
