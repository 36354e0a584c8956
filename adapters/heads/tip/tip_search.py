"""What Tip-Adapter chooses alpha and beta with: the published grid, and the logits of rows at every sharpness."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from adapters.arrays import Floats, Ints
from adapters.head import cosine_logits
from adapters.heads.tip.key_cache import KeyCache
from adapters.heads.tip.sharpened import votes_at
from adapters.selection.alpha_choice import Line, Others, Piece, lines_of_betas
from adapters.support import Rows, Support

SEARCH_SCALE = (12.0, 10.0)
"""Upper ends of the published grids of beta and alpha. The authors set them for each of their eleven data sets, from
(7, 3) to (50, 50); these are the medians, and those of EuroSAT and SUN397."""
SEARCH_STEPS = (200, 20)
"""Numbers of betas and alphas in the published grid."""
FEW_SHOTS, LEAST_GAIN = 4, 3
"""Below so many shots a class, own settings are left only for so many more right rows; see `gain_asked_for`."""


class AffinityBlock(NamedTuple):
    """Rows to choose on: zero-shot logits (Q, C), affinities (Q, M), classes of those keys (Q, M), labels (Q,)."""

    base: Tensor
    affinity: Tensor
    key_labels: Tensor
    labels: Tensor


class GammaHead(Protocol):
    """A fitted head with a third hyper-parameter, gamma, beside alpha and beta."""

    cache_: KeyCache

    def _pieces(self, rows: Rows, betas: Sequence[float], gammas: NDArray[np.float64]) -> Iterator[Piece]:
        """Base and delta of rows at every (beta, gamma)."""


def lines_of_splits(
    splits: Sequence[tuple[GammaHead, Rows]], betas: NDArray[np.float64], gammas: NDArray[np.float64]
) -> dict[Others, Line]:
    """Accuracy in alpha at every (beta, gamma), over all splits.

    Args:
        splits: fitted heads, each with the rows that it is scored on.
        betas: ascending sharpnesses.
        gammas: what else to try with each.
    """
    return lines_of_betas(
        lambda some: chain.from_iterable(fitted._pieces(out, some, gammas) for fitted, out in splits),
        betas,
        affinities=sum(len(fitted.cache_) * len(out.labels) for fitted, out in splits),
    )


def search_grid(
    scale: tuple[float, float] = SEARCH_SCALE, steps: tuple[int, int] = SEARCH_STEPS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The published grids of beta and alpha: value i of n is 0.1 + i (scale - 0.1) / n."""
    betas, alphas = (0.1 + np.arange(n) * (top - 0.1) / n for top, n in zip(scale, steps, strict=True))
    return betas, alphas


def pieces(blocks: Iterable[AffinityBlock], betas: Sequence[float], classes: int) -> Iterator[Piece]:
    """Base and delta of every block at every sharpness: one pass over its affinities each.

    Args:
        blocks: rows to choose on.
        betas: sharpnesses.
        classes: C.
    """
    for block in blocks:
        if not len(block.labels):  # the only rows of their classes: none is scored
            continue
        for beta, (delta,) in votes_at(block.affinity, block.key_labels, betas, classes):
            yield (beta,), block.base, delta, block.labels


def held_out_logits(support: Support, fold: Ints, logit_scale: float) -> Floats:
    """Zero-shot logits (N, C) of the support's rows.

    Where class means stand in for text, they are those of the rows outside a row's own fold.
    """
    if support.has_text:
        return cosine_logits(support.means, support.text, logit_scale)
    logits = np.zeros((len(fold), len(support.classes)), dtype=np.float32)
    for j in np.unique(fold):
        text = support.take(np.flatnonzero(fold != j)).text
        logits[fold == j] = cosine_logits(support.means[fold == j], text, logit_scale)
    return logits


def gain_asked_for(support: Support, rows: Rows | None) -> int:
    """How many more rows must be right for a cache's own settings, close to zero-shot, to be left (`set_chosen`).

    Counting right answers among few held-out shots finds extreme settings that do well by chance: at two shots a class
    the best one lost up to 12 points to zero-shot (docs/methods.md), and none that was three rows ahead did. With 0 the
    best is taken however small its lead.

    Args:
        support: the support set.
        rows: held-out rows to choose on; None: the support's own.
    """
    return LEAST_GAIN if rows is None and support.shots < FEW_SHOTS else 0
