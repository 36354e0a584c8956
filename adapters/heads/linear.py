"""Linear probe: multinomial logistic regression on unit features, by L-BFGS.

    logits = W n(f) + b,    min over W, b of  sum_i cross-entropy_i + |W|^2 / (2 C)

W (classes, D), b (classes,). Class text plays no part. Source: Radford et al. (arXiv 2103.00020), section 3.2; the
choice of C is the protocol of CoOp (Zhou et al., arXiv 2109.01134).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from adapters.arrays import Floats
from adapters.head import Head
from adapters.heads.traced import traced_sum
from adapters.parameters import Above0, AtLeast1, NotNegative
from adapters.selection.held_out import held_out_splits
from adapters.support import Rows, Support

if TYPE_CHECKING:
    from torch import Tensor

GRID = (1e6, 1e4, 1e2, 1.0, 1e-2, 1e-4, 1e-6)
"""Values of C that the search starts from, in its order."""
BINARY_STEPS = 8
FOLDS = 4
"""Folds over the shots when only the support may be looked at; 4, as CoOp's protocol validates on at most 4 shots."""
SMALL = 1 << 28
"""Rows x dimensions x classes up to which one BLAS thread is used."""
NO_ROWS = -1e4
"""Bias of a class without support rows: its probability is 0, yet the logit stays finite."""


class LinearProbe(Head):
    """Logistic regression on unit features; augmented views are extra rows.

    Args:
        C: inverse strength of the penalty. The default is the 0.316 of OpenAI's published example, which is for raw
            features, carried over to unit rows: CLIP's raw features have norms of about 10, and a feature that is 10
            times smaller needs a C that is 100 times larger for the same fit.
        max_iter: most L-BFGS iterations.
        tol: L-BFGS stops where the largest entry of the mean gradient is below this divided by the number of classes.
            At the start those entries are that much smaller the more classes there are: with 1,000 of them a fixed
            bound would be met before the first step.

    Attributes:
        weight_: W (classes, D).
        bias_: b (classes,).
        n_iter_: L-BFGS iterations taken; not saved.
    """

    method: ClassVar[str] = "linear"
    source: ClassVar[str] = "CLIP, arXiv 2103.00020; C as in CoOp, arXiv 2109.01134"
    trains: ClassVar[str] = "a linear layer"
    needs: ClassVar[str] = "images only; views used if there"
    try_when: ClassVar[str] = "the text says little and there are many shots; with few it is below zero-shot"
    learned: ClassVar[tuple[str, ...]] = ("weight_", "bias_")

    weight_: Floats
    bias_: Floats

    def __init__(self, *, C: Above0 = 31.6, max_iter: AtLeast1 = 1000, tol: NotNegative = 1e-3) -> None:
        self.C = C
        self.max_iter = max_iter
        self.tol = tol

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return classes * (dim + 1)

    def _fit(self, support: Support) -> None:
        classes, (_, views, dim) = len(support.classes), support.views.shape
        self.weight_ = np.zeros((classes, dim), dtype=np.float32)
        self.bias_ = np.full(classes, NO_ROWS, dtype=np.float32)
        present = np.unique(support.labels)
        self.bias_[present] = 0
        self.n_iter_ = 0
        if len(present) == 1:
            return
        # Double precision: L-BFGS in float32 stalls in its line search at weak penalties.
        rows = support.unit_views.reshape(-1, dim).astype(np.float64)
        regression = LogisticRegression(C=self.C, max_iter=self.max_iter, tol=self.tol / len(present))
        # Sharing a small problem between BLAS threads costs more than it saves: 10 to 50 times, on a busy machine.
        threads = 1 if rows.size * len(present) < SMALL else None
        with threadpool_limits(threads, user_api="blas"), warnings.catch_warnings():
            # Without a penalty to speak of (C = 1e6) and rows that a plane separates, the optimum is at infinity: where
            # the iterations end is then of no consequence for the prediction, so it is not worth a warning.
            warnings.simplefilter("ignore", ConvergenceWarning)
            # One shot of many classes is no regression problem, as scikit-learn suspects.
            warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")
            regression.fit(rows, np.repeat(support.labels, views))
        self.n_iter_ = int(regression.n_iter_.max())
        weight, bias = regression.coef_, regression.intercept_
        if len(present) == 2:  # scikit-learn fits the difference of the two classes; share it between them
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        self.weight_[present], self.bias_[present] = weight, bias

    def _logits(self, features: Floats) -> Floats:
        return np.asarray(features @ self.weight_.T + self.bias_)

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        return traced_sum(features, self.weight_, self.bias_)

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Choose C by the accuracy on held-out rows, or on shots held out of the support in up to `FOLDS` folds."""
        splits = held_out_splits(support, rows, FOLDS)

        def right(c: float) -> int:
            probe = type(self)(**{**self.get_params(), "C": c})
            return sum(
                int((probe._fit_support(kept)._logits(out.features).argmax(1) == out.labels).sum())
                for kept, out in splits
            )

        head.set_params(C=search_c(right))
        return head


def search_c(score: Callable[[float], float]) -> float:
    """CoOp's search: the best of `GRID` (first wins), then `BINARY_STEPS` halvings of the decade on either side.

    Each halving compares the two ends of the interval, moves to the better one (the stronger penalty on a tie) and
    keeps the half of the interval, in log10, that ends there.

    Args:
        score: what a value of C scores; larger is better.

    Returns:
        The last end moved to, unless the best of the grid scored higher than it.
    """
    known: dict[float, float] = {}

    def scored(c: float) -> float:
        if c not in known:
            known[c] = score(c)
        return known[c]

    peak = max(GRID, key=scored)
    left, right, chosen = math.log10(peak) - 1, math.log10(peak) + 1, peak
    for _ in range(BINARY_STEPS):
        middle = (left + right) / 2
        if scored(10**left) < scored(10**right):
            chosen, left = 10**right, middle
        else:
            chosen, right = 10**left, middle
    return chosen if scored(chosen) >= scored(peak) else peak
