"""What hyper-parameters are chosen on: held-out rows, or shots held out of the support."""

from __future__ import annotations

import numpy as np

from adapters.arrays import Support, shot_folds
from adapters.head import Head, Rows

FOLDS = 4
"""Folds over the shots where fitting is quick; 4, as CoOp's protocol validates on at most 4 shots."""


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


def right(head: Head, rows: Rows) -> int:
    """How many rows a fitted head gets right; none that it has no finite logits for."""
    logits = head._logits(rows.features)
    return int(((logits.argmax(1) == rows.labels) & np.isfinite(logits).all(1)).sum())
