"""Tip-X: Tip-Adapter, and a second affinity that compares what image and key make of the class text.

    logits = s n(f) n(t)^T + alpha * phi(n(f) F^T) Y - gamma * M Y,    phi(A) = exp(-beta (1 - A))
    M = (KL(p(f) || p(F)) - lo) / (hi - lo) * (top - bottom) + bottom,    p(x) = softmax(n(x) n(t)^T / 0.5)

with keys F (N, D) (views averaged raw, then normalised) and one-hot classes Y (N, C). lo, hi and bottom, top are the
ranges of the divergences and of the affinities A. Here they are those between different rows of the support, so that
a row's logits depend on that row and the support alone. The released code takes the range of the divergences from the
whole evaluated split and, at test time, that of the affinities from the *validation* split: a prediction depends on
what it is evaluated with. Set `ranges_` to such ranges to reproduce its logits.
Source: Udandarao et al., SuS-X (arXiv 2211.16198).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapters.arrays import Floats
from adapters.head import cosine_logits
from adapters.heads.tip.sharpened import votes_at
from adapters.heads.tip.tip_adapter import TipAdapter
from adapters.heads.tip.tip_search import gain_asked_for, lines_of_splits
from adapters.heads.traced import traced_products
from adapters.parameters import NotNegative
from adapters.selection.alpha_choice import Piece, set_chosen
from adapters.selection.held_out import held_out_splits
from adapters.support import Rows, Support

TEMPERATURE = 0.5
"""Of the soft-max over cosines."""
SEARCH_SCALE = (50.0, 30.0)
"""Upper ends of the published grids of beta and gamma (alpha's, 50, is not needed: every alpha is tried)."""
SEARCH_STEPS = (50, 10)
"""Numbers of betas and gammas. Published: 200 and 50; fewer here, for time."""
BLOCK = 1 << 23
"""Most divergences held at once."""


class Grid(NamedTuple):
    """Values to try."""

    betas: NDArray[np.float64]
    gammas: NDArray[np.float64]


class TextView(NamedTuple):
    """What unit rows make of the class text: centred cosines over the temperature z (M, C), and log-sum-exp (M, 1).

    Cosines that are close to each other give divergences of a thousandth. The mean over the classes, which no soft-max
    sees, is taken out of z, and log C out of the log-sum-exp: then float32 does not round the divergences away.
    """

    z: Floats
    lse: Floats

    @classmethod
    def of(cls, rows: Floats, text: Floats) -> TextView:
        """Of unit rows (M, D) and unit text (C, D)."""
        z = rows @ text.T / np.float32(TEMPERATURE)
        z -= z.mean(1, keepdims=True)
        return cls(z, np.log(np.exp(z).mean(1, keepdims=True)))

    @property
    def probabilities(self) -> Floats:
        """The soft-max (M, C)."""
        return np.asarray(np.exp(self.z - self.lse) / np.float32(self.z.shape[1]))


def divergences(rows: TextView, keys: TextView) -> Floats:
    """KL(row || key) (M, N), in nats."""
    p = rows.probabilities
    return np.asarray((p * rows.z).sum(1, keepdims=True) - rows.lse + keys.lse.T - p @ keys.z.T)


class ClassSums(NamedTuple):
    """What the keys of each class add up to: M Y is slope (own counts + lse - p z^T) + offset, own and p of a row."""

    counts: Floats
    """Keys of each class (C,)."""
    z: Floats
    """Sums of the keys' z (C, C)."""
    lse: Floats
    """Of their log-sum-exp (C,)."""
    offset: Floats
    """What the ranges add (C,)."""
    slope: np.float32
    """What the ranges multiply by."""


class TipX(TipAdapter):
    """Tip-X with ranges from the support.

    Args:
        alpha: residual ratio of the cache. The authors give no defaults, as they search on the validation split:
            alpha and beta are Tip-Adapter's, and gamma, the ratio of the other affinity, is that of the first.
        beta: sharpness.
        gamma: ratio of the divergences; zero-shot needs gamma = 0 beside alpha = 0.
        logit_scale: the encoder's scale s.
        device: auto, cpu, cuda or mps.

    Attributes:
        cache_: the keys in FAISS, with their classes.
        ranges_: ((lo, hi), (bottom, top)) (2, 2): of divergences and of affinities.
    """

    method: ClassVar[str] = "tip-x"
    source: ClassVar[str] = "Tip-X in SuS-X, arXiv 2211.16198"
    try_when: ClassVar[str] = "as tip, where images resemble each other less than their texts do"
    chosen_by_default: ClassVar[tuple[str, ...]] = ("alpha", "beta", "gamma")

    ranges_: Floats

    def __init__(
        self,
        *,
        alpha: NotNegative = 1.0,
        beta: NotNegative = 5.5,
        gamma: NotNegative = 1.0,
        logit_scale: float = 100.0,
        device: str = "auto",
    ) -> None:
        super().__init__(alpha=alpha, beta=beta, logit_scale=logit_scale, device=device)
        self.gamma = gamma

    def _fit(self, support: Support) -> None:
        super()._fit(support)
        self.ranges_ = support_ranges(support.means, support.text)

    def _parts(self, features: Floats) -> tuple[Floats, Floats]:
        """Zero-shot logits less the divergences, and cache logits, both (N, C)."""
        base, delta = super()._parts(features)
        return base - np.float32(self.gamma) * self._divergence_votes(features), delta

    def _divergence_votes(self, features: Floats) -> Floats:
        """M Y (N, C). M is affine in what depends on a key, so that the keys of a class may be summed beforehand."""
        rows, sums = TextView.of(features, self.text_), self._class_sums()
        p = rows.probabilities
        own = (p * rows.z).sum(1, keepdims=True) - rows.lse
        return np.asarray(sums.slope * (own * sums.counts + sums.lse - p @ sums.z.T) + sums.offset)

    def _class_sums(self) -> ClassSums:
        keys = TextView.of(self.keys_, self.text_)
        classes, labels = len(self.text_), self.cache_.labels
        counts = np.bincount(labels, minlength=classes)
        z, lse = np.zeros((classes, classes)), np.zeros(classes)
        np.add.at(z, labels, keys.z)
        np.add.at(lse, labels, keys.lse[:, 0])
        (low, high), (bottom, top) = self.ranges_.astype(np.float64)
        slope = (top - bottom) / (high - low) if high > low else 0.0
        offset = counts * (bottom - slope * low)
        counted, summed, of_keys, added = (each.astype(np.float32) for each in (counts, z, lse, offset))
        return ClassSums(counted, summed, of_keys, added, np.float32(slope))

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        sums = self._class_sums()
        z = traced_products(features, self.text_) / TEMPERATURE
        z = z - z.mean(1, keepdim=True)
        lse = torch.exp(z).mean(1, keepdim=True).log()
        p = torch.exp(z - lse) / len(self.text_)
        own = (p * z).sum(1, keepdim=True) - lse
        counts, of_keys, offset = (torch.from_numpy(each) for each in (sums.counts, sums.lse, sums.offset))
        divergence = float(sums.slope) * (own * counts + of_keys - traced_products(p, sums.z)) + offset
        return super().traced_logits(features) - self.gamma * divergence

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Try every alpha with the grid of beta and gamma, on held-out rows or on shots held out of the support."""
        grid = search_grid()
        splits = [
            (type(self)(**self.get_params())._fit_support(kept), out) for kept, out in held_out_splits(support, rows)
        ]
        found = lines_of_splits(splits, grid.betas, grid.gammas)
        set_chosen(head, found, ["beta", "gamma"], rows, least_gain=gain_asked_for(support, rows))
        return head

    def _pieces(self, rows: Rows, betas: Sequence[float], gammas: NDArray[np.float64]) -> Iterator[Piece]:
        """Base and delta of rows at every (beta, gamma)."""
        logits = cosine_logits(rows.features, self.text_, self.logit_scale)
        divergence = self._divergence_votes(rows.features)
        for block in self.cache_.affinities(rows.features):
            base, kl, labels = (part[block.queries] for part in (logits, divergence, rows.labels))
            bases = [base - np.float32(gamma) * kl for gamma in gammas]
            for beta, (delta,) in votes_at(block.values, block.labels, betas, self.cache_.classes):
                for gamma, less in zip(gammas, bases, strict=True):
                    yield (beta, float(gamma)), less, delta, labels

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {**super()._arrays(), "ranges_": self.ranges_}


def search_grid(scale: tuple[float, float] = SEARCH_SCALE, steps: tuple[int, int] = SEARCH_STEPS) -> Grid:
    """Value i of n is low + i (scale - low) / n; low is 1 for beta and 0.1 for gamma."""
    return Grid(*(low + np.arange(n) * (top - low) / n for low, top, n in zip((1.0, 0.1), scale, steps, strict=True)))


def support_ranges(keys: Floats, text: Floats) -> Floats:
    """Ranges (2, 2) of the divergences and of the cosines between different rows of the support (N, D)."""
    ranges = np.array([[np.inf, -np.inf], [np.inf, -np.inf]], dtype=np.float32)
    if len(keys) < 2:
        return np.zeros((2, 2), dtype=np.float32)
    views = TextView.of(keys, text)
    step = max(1, BLOCK // len(keys))
    for start in range(0, len(keys), step):
        part = slice(start, min(start + step, len(keys)))
        own = np.arange(part.start, part.stop)
        values = (divergences(TextView(views.z[part], views.lse[part]), views), keys[part] @ keys.T)
        for limits, matrix in zip(ranges, values, strict=True):
            for i, (found, nothing) in enumerate(((np.min, np.inf), (np.max, -np.inf))):
                matrix[own - start, own] = nothing
                limits[i] = found([limits[i], found(matrix)])
    return ranges
