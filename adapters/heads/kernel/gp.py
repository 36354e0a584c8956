"""Gaussian-process regression from zero-shot: a prediction, and how little is known where it is made.

A Gaussian process over images whose mean beforehand is zero-shot, one for each class with the same kernel, regresses
one-hot classes Y (N, C) with noise lam. Given the shots' views F (N, D), for images f (M, D):

    mean      n(f) n(t)^T + k(f, F) (K + lam I)^-1 (Y - F n(t)^T)            (M, C); logits are s times that
    variance  k(f, f) - k(f, F) (K + lam I)^-1 k(F, f)                       (M,), from 0 to k(f, f) = 1

    k(x, x') = exp(-beta (1 - x x'^T))   affinity, Tip-Adapter's;   or x x'^T   linear

See `adapters.heads.kernel.ridge` for the letters. The variance is that of the regression and the same for all classes.

What `proker` has not: ProKeR as ported multiplies the correction by lam, and its published grid ends at lam = 1; here
lam is the noise alone, and the default of 10, which was better on validation rows (docs/methods.md), is a correction
that ProKeR cannot make at any lam. At lam = 1 the means are the same. Beyond that: the linear kernel, the variance, and
settings chosen without a second fit. Leaving rows G out of the regression leaves the residual (P_GG)^-1 (P R)_G on
them, with P = (K + lam I)^-1 and R = Y - F n(t)^T: one factorisation for each beta tells, for all lam, as what every
shot would be predicted by a head that has seen the others, one shot of each class out at a time, with all its views.
Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), chapters 2.2 and 5.4.2.

The variance grows with the distance to all shots, and is little use for refusing images of other classes: they lie
among the shots (docs/methods.md). The largest logit tells them much better.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from adapters.arrays import Doubles, unit
from adapters.heads.kernel.ridge import BLOCK, KernelRidge, left_out_residuals
from adapters.parameters import AtLeast1, NotNegative, Range
from adapters.selection.held_out import held_out_splits
from adapters.support import Rows, Support, fold_of_rows
from adapters.training.loop import threads_for

Kernel = Literal["affinity", "linear"]
Noise = Annotated[float, Range(0, open="low")]

BETAS = (1.0, 2.0, 4.0, 8.0)
LAMS = (1.0, 3.0, 10.0, 30.0)
SEARCH_ROWS = 4096
"""Keys up to which beta is chosen too; above, only lam: each beta is a decomposition of K."""


class GaussianProcess(KernelRidge):
    """A Gaussian process whose prior mean is zero-shot.

    Args:
        kernel: affinity, or linear (no beta).
        beta: sharpness of the affinity.
        lam: lambda, the noise of the labels; the larger, the closer to zero-shot.
        max_rows: most keys. With V views, as many of them are keys as fit, and one at least: K takes 8 N^2 bytes,
            and its factorisation as many again (4.3 GB by default).
        logit_scale: the encoder's scale s.
        device: where the kernel to new rows is computed: auto, cpu, cuda or mps. The solution is found on the CPU.

    Attributes:
        keys_: F (N, D).
        coefficients_: (K + lam I)^-1 R (N, C).
    """

    method: ClassVar[str] = "gp"
    source: ClassVar[str] = "Gaussian-process regression, Rasmussen and Williams 2006; no paper's method"
    try_when: ClassVar[str] = "closed form, few shots, a good zero-shot: its defaults correct with care"

    def __init__(
        self,
        *,
        kernel: Kernel = "affinity",
        beta: NotNegative = 4.0,
        lam: Noise = 10.0,
        max_rows: AtLeast1 = 16384,
        logit_scale: float = 100.0,
        device: str = "auto",
    ) -> None:
        self.kernel = kernel
        self.beta = beta
        self.lam = lam
        self.max_rows = max_rows
        self.logit_scale = logit_scale
        self.device = device

    def _share(self, lam: float) -> float:
        return 1.0

    def _kernel(self, products: Tensor) -> Tensor:
        return products if self.kernel == "linear" else super()._kernel(products)

    def variance(self, X: Any) -> Doubles:
        """The variance (M,) of the regression at features (M, D), from 0 at the shots to 1 far from all of them.

        It factorises K anew: give it all images at once.
        """
        features = torch.from_numpy(unit(self._features(X)))
        keys = torch.from_numpy(self.keys_).double()
        with threads_for(len(keys) ** 2):
            kernel = self._gram()
            kernel.diagonal().add_(self.lam)
            factor = torch.linalg.cholesky(kernel)
            found = []
            for rows in torch.split(features.double(), max(1, BLOCK // len(keys))):
                own = self._kernel((rows * rows).sum(1))
                known = torch.linalg.solve_triangular(factor, self._kernel(keys @ rows.T), upper=False)
                found.append((own - known.square().sum(0)).clamp_min(0))
        return np.asarray(torch.cat(found))

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """The pair that gets most held-out rows right, or most shots left out; of equals that nearest to the own.

        On the shots, another pair must get a standard error more right than the own.
        """
        searched = self.kernel == "affinity" and len(support.views) * self._views_used(support) <= SEARCH_ROWS
        betas, lams = sorted({*BETAS, self.beta} if searched else {self.beta}), sorted({*LAMS, self.lam})
        if rows is None and support.has_text:
            right, count = self._left_out_answers(support, betas, lams)
        else:  # text that is made of the shots must be made anew without those that are left out
            splits = held_out_splits(support, rows)
            right = self._right_answers(splits, betas, lams).astype(np.float64)
            count = sum(len(out.labels) for _, out in splits)
        own = float(right[betas.index(self.beta), lams.index(self.lam)])
        least = math.sqrt(own * (1 - own / count)) if rows is None else 0.0
        if right.max() - own <= least:
            head.selection_note_ = (
                f"hyper-parameters stay as they were: the best others get {right.max() - own:g} more of {count} rows "
                f"right, and {least:.1f} more say nothing"
            )
            return head
        steps = [np.abs(np.log1p(grid) - np.log1p(at)) for grid, at in ((betas, self.beta), (lams, self.lam))]
        far = np.where(right == right.max(), np.add.outer(*steps), np.inf)
        best = divmod(int(far.argmin()), len(lams))
        head.set_params(beta=betas[best[0]], lam=lams[best[1]])
        return head

    def _left_out_answers(self, support: Support, betas: list[float], lams: list[float]) -> tuple[Doubles, int]:
        """How many images each pair (B, L) gets right that it has not seen, and of how many; views count by share."""
        keys, target = self._problem(support)
        views = len(keys) // len(support.labels)
        fold = np.repeat(fold_of_rows(support.labels, support.shots), views)
        groups = [np.flatnonzero(fold == j) for j in range(fold.max() + 1)]
        seen = torch.from_numpy(fold >= 0)
        labels = torch.from_numpy(np.repeat(support.labels, views))
        truth = one_hot(labels, len(support.text)).double()
        right = np.zeros((len(betas), len(lams)))
        with threads_for(len(keys) ** 2):
            for i, beta in enumerate(betas):
                trial = type(self)(**{**self.get_params(), "beta": beta})
                trial.keys_ = keys
                for j, left in enumerate(left_out_residuals(trial._gram(), target, lams, groups)):
                    hits = ((truth - left).argmax(1) == labels)[seen]
                    right[i, j] = int(hits.sum()) / views
        return right, int(seen.sum()) // views
