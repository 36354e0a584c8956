"""What hyper-parameters are chosen on: held-out rows, or shots held out of the support."""

from __future__ import annotations

from typing import Any

import numpy as np

from adapters.head import Head
from adapters.support import Rows, Support, fold_of_rows, shot_folds

FOLDS = 4
"""Folds over the shots where fitting is quick; 4, as CoOp's protocol validates on at most 4 shots."""
QUARTERS = 4
"""Parts of the classes where a shot of a part is held out at a time."""
DIVERGED = 1e15
"""Logits of such a size come from no training that went well, and their squares soon overflow float32."""


def held_out_splits(support: Support, rows: Rows | None, folds: int = FOLDS) -> list[tuple[Support, Rows]]:
    """Pairs of what to fit on and what to count right answers on.

    Args:
        support: the support set.
        rows: held-out rows: one pair, with the whole support. None: one pair for each fold of the shots.
        folds: the most folds.
    """
    if rows is not None:
        return [(support, rows)]
    return [
        (support.take(kept), Rows(support.means[out], support.labels[out]))
        for kept, out in shot_folds(support.labels, folds)
    ]


def quarter_splits(support: Support) -> list[tuple[Support, Rows]]:
    """Pairs as of `held_out_splits`, one for each shot and quarter of the classes: the other classes stay whole.

    For heads that learn from the spread within classes, of which few shots in folds would leave nothing. The classes
    that lack a shot are a little worse off than with the whole support, so that what is chosen is cautious.
    """
    fold, quarter = fold_of_rows(support.labels, support.shots), support.labels % QUARTERS
    outs = [(fold == j) & (quarter == q) for j in range(fold.max() + 1) for q in range(QUARTERS)]
    return [
        (support.take(np.flatnonzero(~out)), Rows(support.means[out], support.labels[out])) for out in outs if out.any()
    ]


def sane(logits: Any) -> Any:
    """(N,) bool: which rows of logits (N, C), an array or a tensor, a training that went well may give."""
    return (abs(logits) < DIVERGED).all(1)  # of NaN that is not true


def right(head: Head, rows: Rows) -> int:
    """How many rows a fitted head gets right; none whose logits diverged."""
    logits = head._logits(rows.features)
    return int(((logits.argmax(1) == rows.labels) & sane(logits)).sum())
