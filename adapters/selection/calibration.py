"""Temperature scaling: probabilities that mean what they say, without changing a single prediction.

    p = softmax(z / T),    T > 0 minimises  NLL(T) = -mean_i log p_i[y_i]

over the logits z (N, C) of rows that the head did not learn from. Source: Guo et al., On Calibration of Modern Neural
Networks (arXiv 1706.04599). Which rows those may be is the selection regime's business, as for hyper-parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from adapters.errors import AdapterError
from adapters.metrics import softmax
from adapters.selection.left_out import left_out

if TYPE_CHECKING:
    from adapters.arrays import Ints
    from adapters.head import Head
    from adapters.selection.regimes import Lesson, Regime

_BLOCK = 4096
"""Rows whose probabilities are held in memory at once."""


def fit_temperature(logits: ArrayLike, y: ArrayLike) -> float:
    """The temperature that makes the labels most likely.

    NLL is convex in 1/T, so its slope has one zero. It has none where every row is right (T would go to 0) or where the
    labels' logits are no larger than the average logit (T would go to infinity): nothing finite is best, and 1 is
    returned.

    Args:
        logits: (N, C) of rows that were not learned from.
        y: class codes (N,).

    Returns:
        T > 0.

    Raises:
        AdapterError: shapes that do not fit together, or logits that are not finite.
    """
    scores, labels = np.asarray(logits), np.asarray(y)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise AdapterError(f"expected logits (N, C) and labels (N,) with N > 0; got {scores.shape} and {labels.shape}")
    if not np.isfinite(scores).all():
        raise AdapterError("logits contain NaN or infinity: fit the head again before calibrating it")
    of_label = scores[np.arange(len(labels)), labels].astype(np.float64)
    spread = float(np.abs(scores.max(1) - scores.min(1)).max())
    if (of_label >= scores.max(1)).all() or of_label.mean() <= scores.mean(dtype=np.float64) or not spread:
        return 1.0

    def slope(log_inverse: float) -> float:
        return _slope(scores, labels, of_label, float(np.exp(log_inverse)))

    low = high = -np.log(spread)  # logits of order one: where the answer is not far
    while slope(low) >= 0:
        low -= 2.0
    while slope(high) < 0:
        high += 2.0
    return float(np.exp(-brentq(slope, low, high, xtol=1e-6)))


def calibrate(head: Head, task: Lesson, regime: Regime) -> str:
    """Set `temperature_` of a fitted head, from what the selection regime allows.

    Where that is the shots alone, the head is fitted again on all but some of them (`left_out`), and the temperature
    is that of the logits of the shots left out. Otherwise it is that of the held-out rows. Predictions do not change.

    Args:
        head: a fitted head; its parameters are those to fit again with.
        task: where it learned from.
        regime: what may be looked at.

    Returns:
        What a reader must know about it; empty where all went as described.
    """
    head.temperature_ = 1.0
    if not regime.chooses:
        return f"not calibrated: --select {regime.name} allows no rows to fit a temperature on"
    held_out = regime.held_out(task)
    if held_out is not None:
        logits, labels = head.decision_function(held_out[0]), held_out[1]
    elif unseen := [
        (other.decision_function(task.support.images[out]), task.support.labels[out])
        for other, _, out in left_out(head, task)
    ]:
        logits, labels = (np.concatenate(parts) for parts in zip(*unseen, strict=True))
    else:
        return "not calibrated: one shot a class leaves no row to fit a temperature on"
    head.temperature_ = fit_temperature(logits, labels)
    return ""


def _slope(scores: NDArray[np.generic], labels: Ints, of_label: NDArray[np.float64], inverse: float) -> float:
    """Derivative of NLL by 1/T: how much larger the expected logit is than the label's, on average."""
    expected = 0.0
    for start in range(0, len(labels), _BLOCK):
        block = scores[start : start + _BLOCK].astype(np.float64)
        expected += float((softmax(block * inverse) * block).sum())
    return expected / len(labels) - float(of_label.mean())
