"""Tip-Adapter: a training-free cache of the support beside zero-shot.

    logits = s * n(f) n(t)^T + alpha * phi(n(f) F^T) Y,    phi(A) = exp(-beta (1 - A))

with keys F (N, D), the support's features (views averaged raw, then normalised), and one-hot classes Y (N, C).
alpha is the residual ratio and beta the sharpness. Source: Zhang et al., Tip-Adapter (arXiv 2111.03930).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapters.arrays import Floats, Ints, Support, fold_of_rows, unit
from adapters.base import Head, Rows, cosine_logits, require
from adapters.key_cache import KeyCache, votes
from adapters.training import resolve_device, threads_for

SEARCH_SCALE = (12.0, 10.0)
"""Upper ends of the published grids of beta and alpha. The authors set them for each of their eleven data sets, from
(7, 3) to (50, 50); these are the medians, and those of EuroSAT and SUN397."""
SEARCH_STEPS = (200, 20)
"""Numbers of betas and alphas in the published grid."""


class Choice(NamedTuple):
    """What a grid search found."""

    alpha: float
    beta: float
    correct: NDArray[np.int64]
    """Right answers of every (beta, alpha)."""


class Block(NamedTuple):
    """Rows to choose on: zero-shot logits (Q, C), affinities (Q, M), classes of those keys (Q, M), labels (Q,)."""

    base: Tensor
    affinity: Tensor
    key_labels: Tensor
    labels: Tensor


class TipAdapter(Head):
    """Tip-Adapter with the paper's fixed alpha and beta.

    Args:
        alpha: residual ratio of the cache; 0 is zero-shot.
        beta: sharpness.
        neighbours: how many of the nearest keys vote; None: all, exactly.
        logit_scale: the encoder's scale s.
        device: auto, cpu, cuda or mps.

    Attributes:
        cache_: the keys in FAISS, with their classes.
    """

    method: ClassVar[str] = "tip"
    source: ClassVar[str] = "Tip-Adapter, arXiv 2111.03930"
    trains: ClassVar[str] = "nothing; a cache of the support"
    needs: ClassVar[str] = "text; views used if there"

    cache_: KeyCache

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        beta: float = 5.5,
        neighbours: int | None = None,
        logit_scale: float = 100.0,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self.neighbours = neighbours
        self.logit_scale = logit_scale
        self.device = device

    def _check_parameters(self) -> None:
        require(self.alpha >= 0, "alpha", self.alpha, "0 or more")
        require(self.beta >= 0, "beta", self.beta, "0 or more")
        require(self.neighbours is None or self.neighbours >= 1, "neighbours", self.neighbours, "1 or more, or None")

    def _fit(self, support: Support) -> None:
        self.cache_ = KeyCache(support.means, support.labels, len(support.classes), resolve_device(self.device))

    @property
    def keys_(self) -> Floats:
        """The cache's keys (N, D), in the order of the support."""
        return self.cache_.keys

    def parts(self, X: Any) -> tuple[Floats, Floats]:
        """Zero-shot logits and cache logits, both (N, C), of features (N, D): logits = base + alpha * delta."""
        return self._parts(unit(self._features(X)))

    def _parts(self, features: Floats) -> tuple[Floats, Floats]:
        base = cosine_logits(features, self.text_, self.logit_scale)
        return base, self.cache_.votes(features, self.beta, self.neighbours)

    def _logits(self, features: Floats) -> Floats:
        base, delta = self._parts(features)
        return base + np.float32(self.alpha) * delta

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Search the published grid on held-out rows, or on the support with one shot of every class left out.

        Leaving out costs nothing here: it masks keys. A row's own key alone would not do: its class would be one key
        short of the others, and the search would shun the cache for it (at 4 shots it ends at zero-shot); leaving the
        other classes' shots of the same number out too keeps them even. The only row of a class is not scored.
        """
        fitted = type(self)(**self.get_params())._fit_support(support)
        found = search(fitted._blocks(support, rows), len(support.classes))
        head.set_params(alpha=found.alpha, beta=found.beta)
        return head

    def _blocks(self, support: Support, rows: Rows | None) -> Iterator[Block]:
        """What to choose on, in blocks; `self` is fitted on the support."""
        device = self.cache_.device
        if rows is not None:
            base = cosine_logits(rows.features, self.text_, self.logit_scale)
            for block in self.cache_.affinities(rows.features, self.neighbours):
                part = (torch.from_numpy(a[block.queries]).to(device) for a in (base, rows.labels))
                yield Block(next(part), block.values, block.labels, next(part))
            return
        fold = fold_of_rows(support.labels, support.shots)
        base = held_out_logits(support, fold, self.logit_scale)
        for block in self.cache_.held_out(fold, self.neighbours):
            keep = torch.from_numpy(fold[block.queries] >= 0).to(device)
            part = (torch.from_numpy(a[block.queries]).to(device)[keep] for a in (base, support.labels))
            yield Block(next(part), block.values[keep], block.labels[keep], next(part))

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"text_": self.text_, "keys_": self.cache_.keys, "labels_": self.cache_.labels}

    def _restore(self, arrays: dict[str, NDArray[Any]], classes: NDArray[Any]) -> None:
        keys, labels = arrays.pop("keys_"), arrays.pop("labels_")
        super()._restore(arrays, classes)
        self.cache_ = KeyCache(keys, labels, len(classes), resolve_device(self.device))


def search_grid(
    scale: tuple[float, float] = SEARCH_SCALE, steps: tuple[int, int] = SEARCH_STEPS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The published grids of beta and alpha: value i of n is 0.1 + i (scale - 0.1) / n."""
    betas, alphas = (0.1 + np.arange(n) * (top - 0.1) / n for top, n in zip(scale, steps, strict=True))
    return betas, alphas


def search(blocks: Iterable[Block], classes: int, scale: tuple[float, float] = SEARCH_SCALE) -> Choice:
    """The published exhaustive search: beta outside, alpha inside, the first of the best pairs.

    The affinities are computed once; then each beta is one pass over them, each alpha a sum of two (Q, C) arrays.

    Args:
        blocks: rows to choose on.
        classes: C.
        scale: upper ends of the grids of beta and alpha.
    """
    betas, alphas = search_grid(scale)
    correct = np.zeros((len(betas), len(alphas)), dtype=np.int64)
    for block in blocks:
        with threads_for(block.affinity.numel()):
            for i, beta in enumerate(betas):
                delta = votes(block.affinity, block.key_labels, float(beta), classes)
                for j, alpha in enumerate(alphas):
                    logits = torch.add(block.base, delta, alpha=float(alpha))
                    correct[i, j] += int((logits.argmax(1) == block.labels).sum())
    best = divmod(int(correct.argmax()), len(alphas))
    return Choice(float(alphas[best[1]]), float(betas[best[0]]), correct)


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
