"""ProKeR: kernel ridge regression of what zero-shot leaves unexplained.

    logits = s (n(f) n(t)^T + k(f, F) a),    a = (K / lam + I)^-1 (Y - F n(t)^T),    k(x, x') = exp(-beta (1 - x x'^T))

See `adapters.heads.kernel.ridge` for the letters.

The variant: this is the form of two independent ports of the method (as ported). Since (K / lam + I)^-1 =
lam (K + lam I)^-1, its correction is lam times that of textbook kernel ridge regression, k (K + lam I)^-1 (Y - F t^T):
towards lam = 0 it is zero-shot where the textbook's interpolates the support, and towards infinity it is zero-shot
plus k(f, F) (Y - F t^T). Not verified: which of the two the authors' own code has. For lam = 1 they are the same.
Source: Bendou et al., ProKeR (arXiv 2501.11175).
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from adapters.heads.kernel.ridge import KernelRidge
from adapters.parameters import AtLeast1, NotNegative
from adapters.selection.held_out import held_out_splits
from adapters.support import Rows, Support

BETAS = tuple(np.linspace(0.5, 3, 20).tolist())
"""The published grid of beta of Caltech101, FGVC Aircraft, Food101, UCF101 and EuroSAT."""
LAMS = tuple(np.linspace(0.001, 1, 10).tolist())
"""The published grid of lam of the same sets (EuroSAT: 100 values in the same range)."""
SEARCH_ROWS = 2048
"""Keys up to which the whole grid is tried; above, the ends and the middle of each: a cell is one factorisation."""


class ProKeR(KernelRidge):
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
    try_when: ClassVar[str] = "closed form, also for many classes; it may be below zero-shot at few shots"
    chosen_by_default: ClassVar[tuple[str, ...]] = ("beta", "lam")

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

    def _share(self, lam: float) -> float:
        return lam

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Search the grid on held-out rows, or on shots held out of the support; the first best pair wins."""
        small = len(support.views) * self._views_used(support) <= SEARCH_ROWS
        betas, lams = (grid if small else (grid[0], grid[len(grid) // 2], grid[-1]) for grid in (BETAS, LAMS))
        correct = self._right_answers(held_out_splits(support, rows), betas, lams)
        best = divmod(int(correct.argmax()), len(lams))
        head.set_params(beta=betas[best[0]], lam=lams[best[1]])
        return head
