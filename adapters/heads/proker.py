"""ProKeR: kernel ridge regression of what zero-shot leaves unexplained.

    logits = s (n(f) n(t)^T + k(f, F) a),    a = (K / lam + I)^-1 (Y - F n(t)^T),    k(x, x') = exp(-beta (1 - x x'^T))

with keys F (N, D), every view a unit row; K = k(F, F) (N, N); one-hot classes Y (N, C); un-scaled cosines throughout,
times the encoder's scale s at the end, which changes no prediction.

The variant: this is the form of two independent ports of the method (as ported). Since (K / lam + I)^-1 =
lam (K + lam I)^-1, its correction is lam times that of textbook kernel ridge regression, k (K + lam I)^-1 (Y - F t^T):
towards lam = 0 it is zero-shot where the textbook's interpolates the support, and towards infinity it is zero-shot
plus k(f, F) (Y - F t^T). Not verified: which of the two the authors' own code has. For lam = 1 they are the same.
Source: Bendou et al., ProKeR (arXiv 2501.11175).
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapters.abilities import ClosedForm
from adapters.arrays import Floats, Ints, unit
from adapters.device import resolve_device
from adapters.errors import AdapterError
from adapters.head import cosine_logits
from adapters.heads.traced import traced_cosines, traced_products
from adapters.parameters import AtLeast1, NotNegative
from adapters.selection.held_out import held_out_splits
from adapters.support import Rows, Support
from adapters.training.loop import threads_for

Doubles = NDArray[np.float64]

BETAS = tuple(np.linspace(0.5, 3, 20).tolist())
"""The published grid of beta of Caltech101, FGVC Aircraft, Food101, UCF101 and EuroSAT."""
LAMS = tuple(np.linspace(0.001, 1, 10).tolist())
"""The published grid of lam of the same sets (EuroSAT: 100 values in the same range)."""
SEARCH_ROWS = 2048
"""Keys up to which the whole grid is tried; above, the ends and the middle of each: a cell is one factorisation."""
BLOCK = 1 << 23
"""Most kernel values held at once beside K."""


class ProKeR(ClosedForm):
    """ProKeR as ported, with a Gaussian kernel.

    Args:
        beta: sharpness of the kernel. The authors search it, and lam, for each data set; the defaults are the middle of
            the grids that most of their sets share.
        lam: lambda; the larger, the further from zero-shot.
        max_rows: most keys. With V views, as many of them are keys as fit, and one at least: K takes 8 N^2 bytes,
            and its factorisation as many again (4.3 GB by default). The authors stack 10 views; with one, ImageNet is
            about half a point worse.
        logit_scale: the encoder's scale s.
        device: where the kernel to new rows is computed: auto, cpu, cuda or mps. The solution is found on the CPU.

    Attributes:
        keys_: F (N, D).
        coefficients_: a (N, C).
    """

    method: ClassVar[str] = "proker"
    source: ClassVar[str] = "ProKeR, arXiv 2501.11175 (as ported)"
    trains: ClassVar[str] = "nothing; kernel ridge regression in closed form"
    needs: ClassVar[str] = "text; views used if there"
    try_when: ClassVar[str] = "closed form, also for many classes; it may be below zero-shot at few shots"
    chosen_by_default: ClassVar[tuple[str, ...]] = ("beta", "lam")
    learned: ClassVar[tuple[str, ...]] = ("keys_", "coefficients_")

    keys_: Floats
    coefficients_: Floats

    def __init__(
        self,
        *,
        beta: NotNegative = 1.75,
        lam: NotNegative = 0.5,
        max_rows: AtLeast1 = 16384,
        logit_scale: float = 100.0,
        device: str = "auto",
    ) -> None:
        self.beta = beta
        self.lam = lam
        self.max_rows = max_rows
        self.logit_scale = logit_scale
        self.device = device

    def _fit(self, support: Support) -> None:
        self.keys_, target = self._problem(support)
        with threads_for(len(target) ** 2):
            self.coefficients_ = coefficients(kernel_matrix(self.keys_, self.beta), target, self.lam)

    def _problem(self, support: Support) -> tuple[Floats, Doubles]:
        """Keys (N, D) and what zero-shot leaves of their classes (N, C)."""
        rows, views, dim = support.unit_views.shape
        if rows > self.max_rows:
            raise AdapterError(
                f"{rows} support rows, but max_rows={self.max_rows}; give max_rows={rows} (its kernel then takes "
                f"{16e-9 * rows**2:.1f} GB) or fewer shots"
            )
        used = min(views, self.max_rows // rows)
        keys = support.unit_views[:, :used].reshape(-1, dim)
        target = -(keys @ support.text.T).astype(np.float64)
        target[np.arange(len(keys)), np.repeat(support.labels, used)] += 1
        return keys, target

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
            kernel = (torch.from_numpy(features[part]).to(device) @ keys).sub_(1).mul_(self.beta).exp_()
            with threads_for(kernel.numel()):
                for result, a in zip(out, loaded, strict=True):
                    result[part] = (kernel @ a).cpu().numpy()
        return out

    def _logits(self, features: Floats) -> Floats:
        base, delta = self._parts(features)
        return base + delta

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        kernel = torch.exp(self.beta * (traced_products(features, self.keys_) - 1))
        correction = kernel @ torch.from_numpy(self.coefficients_)
        return traced_cosines(features, self.text_, self.logit_scale) + self.logit_scale * correction

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Search the grid on held-out rows, or on shots held out of the support; the first best pair wins."""
        count = len(self._problem(support)[0])
        small = count <= SEARCH_ROWS
        betas, lams = (grid if small else (grid[0], grid[len(grid) // 2], grid[-1]) for grid in (BETAS, LAMS))
        correct = np.zeros((len(betas), len(lams)), dtype=np.int64)
        for kept, held in held_out_splits(support, rows):
            keys, target = self._problem(kept)
            base = held.features @ kept.text.T
            with threads_for(count**2):
                for i, beta in enumerate(betas):
                    trial = type(self)(**{**self.get_params(), "beta": beta})
                    trial.keys_ = keys
                    correct[i] += trial._right_answers(held, base, target, lams)
        best = divmod(int(correct.argmax()), len(lams))
        head.set_params(beta=betas[best[0]], lam=lams[best[1]])
        return head

    def _right_answers(self, held: Rows, base: Floats, target: Doubles, lams: tuple[float, ...]) -> Ints:
        """How many held-out rows each lam (L,) gets right."""
        solutions = [coefficients(kernel_matrix(self.keys_, self.beta), target, lam) for lam in lams]
        corrections = self._correction(held.features, solutions)
        return np.array([int(((base + delta).argmax(1) == held.labels).sum()) for delta in corrections])


def kernel_matrix(keys: Floats, beta: float) -> Tensor:
    """K (N, N) in double precision, filled in tiles."""
    count = len(keys)
    rows = torch.from_numpy(keys).double()
    kernel = rows.new_empty(count, count)
    step = max(1, BLOCK // count)
    for start in range(0, count, step):
        part = slice(start, start + step)
        kernel[part] = (rows[part] @ rows.T).sub_(1).mul_(beta).exp_()
    return kernel


def coefficients(kernel: Tensor, target: Doubles, lam: float) -> Floats:
    """The solution a = lam (K + lam I)^-1 R (N, C), by Cholesky.

    Double precision: with the smallest lam of the grid the condition number is 1,000 times the number of keys. torch's
    LAPACK, because SciPy's crashed on a matrix of 16,000 rows.

    Args:
        kernel: K (N, N); overwritten, so that little more than it is held.
        target: R (N, C).
        lam: lambda; 0 gives 0.
    """
    if lam == 0:
        return np.zeros(target.shape, dtype=np.float32)
    kernel.diagonal().add_(lam)
    torch.linalg.cholesky(kernel, out=kernel)
    solution = torch.cholesky_solve(torch.from_numpy(target), kernel).mul_(lam)
    return solution.float().contiguous().numpy()
