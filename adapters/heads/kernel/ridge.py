"""Kernel ridge regression of what zero-shot leaves unexplained: what ProKeR and the Gaussian process have in common.

    logits = s (n(f) n(t)^T + k(f, F) a),    a = share (K + lam I)^-1 R,    R = Y - F n(t)^T,    n(x) = x / |x|

with keys F (N, D), every view a unit row; K = k(F, F) (N, N); one-hot classes Y (N, C); un-scaled cosines throughout,
times the encoder's scale s at the end, which changes no prediction. `share` is a head's own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapters.abilities import ClosedForm
from adapters.arrays import Doubles, Floats, Ints, unit
from adapters.device import resolve_device
from adapters.errors import AdapterError
from adapters.head import cosine_logits
from adapters.heads.traced import traced_cosines, traced_products
from adapters.support import Rows, Support
from adapters.training.loop import threads_for

BLOCK = 1 << 23
"""Most kernel values held at once beside K."""


class KernelRidge(ClosedForm):
    """A head whose correction of zero-shot is a kernel regression.

    Attributes:
        keys_: F (N, D).
        coefficients_: a (N, C).
    """

    trains: ClassVar[str] = "nothing; kernel ridge regression in closed form"
    needs: ClassVar[str] = "text; views used if there"
    learned: ClassVar[tuple[str, ...]] = ("keys_", "coefficients_")

    keys_: Floats
    coefficients_: Floats

    beta: float
    lam: float
    max_rows: int
    logit_scale: float
    device: str

    @abstractmethod
    def _share(self, lam: float) -> float:
        """What the textbook's coefficients are multiplied with."""

    def _kernel(self, products: Tensor) -> Tensor:
        """Kernel of products x x'^T, which it may overwrite: exp(-beta (1 - x x'^T))."""
        return products.sub_(1).mul_(self.beta).exp_()

    def _fit(self, support: Support) -> None:
        self.keys_, target = self._problem(support)
        with threads_for(len(target) ** 2):
            self.coefficients_ = coefficients(self._gram(), target, self.lam, self._share(self.lam))

    def _problem(self, support: Support) -> tuple[Floats, Doubles]:
        """Keys (N, D) and what zero-shot leaves of their classes (N, C)."""
        rows, _, dim = support.unit_views.shape
        if rows > self.max_rows:
            raise AdapterError(
                f"{rows} support rows, but max_rows={self.max_rows}; give max_rows={rows} (its kernel then takes "
                f"{16e-9 * rows**2:.1f} GB) or fewer shots"
            )
        used = self._views_used(support)
        keys = support.unit_views[:, :used].reshape(-1, dim)
        target = -(keys @ support.text.T).astype(np.float64)
        target[np.arange(len(keys)), np.repeat(support.labels, used)] += 1
        return keys, target

    def _views_used(self, support: Support) -> int:
        """As many views of each image as fit."""
        rows, views, _ = support.views.shape
        used: int = min(views, self.max_rows // rows)
        return used

    def _gram(self) -> Tensor:
        """K (N, N) of the keys in double precision, filled in tiles."""
        count = len(self.keys_)
        rows = torch.from_numpy(self.keys_).double()
        kernel = rows.new_empty(count, count)
        step = max(1, BLOCK // count)
        for start in range(0, count, step):
            part = slice(start, start + step)
            kernel[part] = self._kernel(rows[part] @ rows.T)
        return kernel

    def parts(self, X: Any) -> tuple[Floats, Floats]:
        """Zero-shot logits and the correction, both (N, C), of features (N, D): logits = base + delta."""
        return self._parts(unit(self._features(X)))

    def _parts(self, features: Floats) -> tuple[Floats, Floats]:
        base = cosine_logits(features, self.text_, self.logit_scale)
        delta = self._correction(features, [self.coefficients_])[0]
        return base, np.float32(self.logit_scale) * delta

    def _correction(self, features: Floats, solutions: list[Floats]) -> list[Floats]:
        """k(f, F) a (M, C) of each solution a; the kernel is computed once, in blocks of rows."""
        device = resolve_device(self.device)
        keys = torch.from_numpy(self.keys_).to(device).T
        loaded = [torch.from_numpy(a).to(device) for a in solutions]
        out = [np.empty((len(features), a.shape[1]), dtype=np.float32) for a in solutions]
        step = max(1, BLOCK // len(self.keys_))
        for start in range(0, len(features), step):
            part = slice(start, start + step)
            kernel = self._kernel(torch.from_numpy(features[part]).to(device) @ keys)
            with threads_for(kernel.numel()):
                for result, a in zip(out, loaded, strict=True):
                    result[part] = (kernel @ a).cpu().numpy()
        return out

    def _logits(self, features: Floats) -> Floats:
        base, delta = self._parts(features)
        return base + delta

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        kernel = self._kernel(traced_products(features, self.keys_))
        correction = kernel @ torch.from_numpy(self.coefficients_)
        return traced_cosines(features, self.text_, self.logit_scale) + self.logit_scale * correction

    def _right_answers(
        self, splits: Sequence[tuple[Support, Rows]], betas: Sequence[float], lams: Sequence[float]
    ) -> Ints:
        """How many held-out rows each pair (B, L) gets right, summed over the splits."""
        correct = np.zeros((len(betas), len(lams)), dtype=np.int64)
        for kept, held in splits:
            keys, target = self._problem(kept)
            base = held.features @ kept.text.T
            with threads_for(len(keys) ** 2):
                for i, beta in enumerate(betas):
                    trial = type(self)(**{**self.get_params(), "beta": beta})
                    trial.keys_ = keys
                    solutions = [coefficients(trial._gram(), target, lam, self._share(lam)) for lam in lams]
                    for j, delta in enumerate(trial._correction(held.features, solutions)):
                        correct[i, j] += int(((base + delta).argmax(1) == held.labels).sum())
        return correct


def coefficients(kernel: Tensor, target: Doubles, lam: float, share: float) -> Floats:
    """The solution a = share (K + lam I)^-1 R (N, C), by Cholesky.

    Double precision: with the smallest lam of the grids the condition number is 1,000 times the number of keys. torch's
    LAPACK, because SciPy's crashed on a matrix of 16,000 rows.

    Args:
        kernel: K (N, N); overwritten, so that little more than it is held.
        target: R (N, C).
        lam: lambda.
        share: what the solution is multiplied with; 0 gives 0.
    """
    if share == 0:
        return np.zeros(target.shape, dtype=np.float32)
    kernel.diagonal().add_(lam)
    torch.linalg.cholesky(kernel, out=kernel)
    solution = torch.cholesky_solve(torch.from_numpy(target), kernel).mul_(share)
    return solution.float().contiguous().numpy()


def left_out_residuals(
    kernel: Tensor, target: Doubles, lams: Sequence[float], groups: Sequence[NDArray[Any]]
) -> Tensor:
    """What a regression leaves of rows that it has not seen (L, N, C), exactly and without a second fit.

    With P = (K + lam I)^-1, leaving the rows G out gives the residual (P_GG)^-1 (P R)_G on them. Rows in no group have
    NaN.

    Args:
        kernel: K (N, N).
        target: R (N, C).
        lams: values of lambda (L,), above 0.
        groups: numbers of the rows that are left out together.
    """
    values, vectors = torch.linalg.eigh(kernel)
    rotated = vectors.T @ torch.from_numpy(target)
    residuals = torch.full((len(lams), *target.shape), torch.nan, dtype=torch.float64)
    for found, lam in zip(residuals, lams, strict=True):
        scale = 1 / (values.clamp_min(0) + lam)
        solution = vectors @ (scale[:, None] * rotated)
        for rows in groups:
            own = vectors[rows]
            found[rows] = torch.linalg.solve((own * scale) @ own.T, solution[rows])
    return residuals
