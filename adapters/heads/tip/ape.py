"""APE: Tip-Adapter on the channels that tell the classes apart, each key weighted by how well zero-shot knows it.

    logits = s n(f) n(t)^T + alpha * (phi(f_s F_s^T) * R) Y,    phi(A) = exp(-beta (1 - A)),    R = exp(gamma * KL)

f_s, F_s and t_s are the unit features (M, D), keys (N, D) (views averaged raw, then normalised) and class text (C, D)
on the Q kept channels, normalised again; zero-shot keeps all channels. Y (N, C) holds the one-hot classes, and

    KL_n = log2((1 + e) / (softmax(F_s t_s^T)_{n, y_n} + e)),    e = 1e-6, without a temperature.

The kept channels have the largest J_d = -w S_d + (1 - w) Var_d, with S_d the mean product on channel d over the pairs
of different classes, where a class is its text and its keys, and Var_d the unbiased variance of the text over classes.
The training-free part of Zhu et al., Not All Features Matter: Adaptive Prior Refinement (APE, arXiv 2304.01195);
APE-T, which trains, is not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from adapters.abilities import ClosedForm
from adapters.arrays import Floats, Ints, unit
from adapters.blended_head import BlendedHead
from adapters.device import resolve_device
from adapters.head import cosine_logits
from adapters.heads.tip.key_cache import KeyCache, votes
from adapters.heads.tip.sharpened import votes_at
from adapters.heads.tip.tip_search import gain_asked_for, lines_of_splits
from adapters.heads.traced import traced_cosines
from adapters.parameters import AtLeast1, NotNegative, Ratio, require
from adapters.selection.alpha_choice import Piece, set_chosen
from adapters.selection.held_out import held_out_splits
from adapters.support import Rows, Support

SEARCH_SCALE = (7.0, 1.0)
"""Upper ends of the grids of beta and gamma: those of five of the eleven data sets, and the medians (alpha's, 7, is not
needed: every alpha is tried)."""
SEARCH_STEPS = (50, 5)
"""Numbers of betas and gammas. Published: 200, and 20 (ImageNet: 5); fewer here, for time."""
KEPT = 700 / 1024
"""Share of kept channels: 700 of 1,024 is the median of the authors' eleven data sets, and EuroSAT's."""
TINY = 1e-6
"""e, added to both sides of the divergence's ratio."""


class Grid(NamedTuple):
    """Values to try."""

    betas: NDArray[np.float64]
    gammas: NDArray[np.float64]


class APE(BlendedHead, ClosedForm):
    """APE without training.

    Args:
        alpha: residual ratio of the cache; 0 is zero-shot. The default and those of beta and gamma are the initial
            values of the authors' EuroSAT configuration (ImageNet's differ by alpha = 2).
        beta: sharpness.
        gamma: how much the divergence weighs the keys; 0 weighs all alike.
        channels: kept channels Q; None: the share 700/1,024 of all.
        similarity_weight: w. The authors set it for each data set, from 0.1 to 0.9; this is the median.
        logit_scale: the encoder's scale s.
        device: auto, cpu, cuda or mps.

    Attributes:
        channels_: kept channels (Q,), the best first.
        cache_: the keys F_s in FAISS, with their classes.
        divergence_: KL of every key (N,).
    """

    method: ClassVar[str] = "ape"
    source: ClassVar[str] = "APE, arXiv 2304.01195"
    trains: ClassVar[str] = "nothing; a cache of the support on chosen channels"
    needs: ClassVar[str] = "text; views used if there"
    try_when: ClassVar[str] = "as tip, where only some channels tell the classes apart"
    learned: ClassVar[tuple[str, ...]] = ("channels_", "divergence_")
    chosen_by_default: ClassVar[tuple[str, ...]] = ("alpha", "beta", "gamma")

    channels_: Ints
    cache_: KeyCache
    divergence_: Floats

    def __init__(
        self,
        *,
        alpha: NotNegative = 1.0,
        beta: NotNegative = 1.0,
        gamma: NotNegative = 0.1,
        channels: AtLeast1 | None = None,
        similarity_weight: Ratio = 0.5,
        logit_scale: float = 100.0,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.channels = channels
        self.similarity_weight = similarity_weight
        self.logit_scale = logit_scale
        self.device = device

    def _fit(self, support: Support) -> None:
        dim = support.text.shape[1]
        kept = max(1, round(KEPT * dim)) if self.channels is None else self.channels
        require(kept <= dim, "channels", self.channels, f"at most {dim}, the width of the features")
        worth = criterion(support, self.similarity_weight)
        self.channels_ = np.argsort(-worth, kind="stable")[:kept]
        keys = unit(support.means[:, self.channels_])
        self.cache_ = KeyCache(keys, support.labels, len(support.classes), resolve_device(self.device))
        self.divergence_ = divergence(keys, support.labels, unit(support.text[:, self.channels_]))

    def _parts(self, features: Floats) -> tuple[Floats, Floats]:
        """Zero-shot logits and cache logits, both (N, C)."""
        base = cosine_logits(features, self.text_, self.logit_scale)
        delta = np.empty_like(base)
        weight = self._key_weights(self.gamma)
        for block in self.cache_.affinities(unit(features[:, self.channels_])):
            logits = votes(block.values, block.labels, self.beta, self.cache_.classes, weight)
            delta[block.queries] = logits.cpu().numpy()
        return base, delta

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        chosen = normalize(features[:, torch.from_numpy(self.channels_)], dim=1)
        votes = self.cache_.traced_votes(chosen, self.beta, np.exp(np.float32(self.gamma) * self.divergence_))
        return traced_cosines(features, self.text_, self.logit_scale) + self.alpha * votes

    def _key_weights(self, gamma: float) -> Tensor:
        """R (N,)."""
        return torch.from_numpy(np.exp(np.float32(gamma) * self.divergence_)).to(self.cache_.device)

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
        weights = [self._key_weights(float(gamma)) for gamma in gammas]
        for block in self.cache_.affinities(unit(rows.features[:, self.channels_])):
            base, labels = logits[block.queries], rows.labels[block.queries]
            for beta, deltas in votes_at(block.values, block.labels, betas, self.cache_.classes, weights):
                for gamma, delta in zip(gammas, deltas, strict=True):
                    yield (beta, float(gamma)), base, delta, labels

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {**super()._arrays(), "keys_": self.cache_.keys, "labels_": self.cache_.labels}

    def _restore(self, arrays: dict[str, NDArray[Any]], classes: NDArray[Any]) -> None:
        keys, labels = arrays.pop("keys_"), arrays.pop("labels_")
        super()._restore(arrays, classes)
        self.cache_ = KeyCache(keys, labels, len(classes), resolve_device(self.device))


def search_grid(scale: tuple[float, float] = SEARCH_SCALE, steps: tuple[int, int] = SEARCH_STEPS) -> Grid:
    """Value i of n is 0.1 + i (scale - 0.1) / n for beta, i scale / n for gamma."""
    return Grid(*(low + np.arange(n) * (top - low) / n for low, top, n in zip((0.1, 0.0), scale, steps, strict=True)))


def criterion(support: Support, similarity_weight: float) -> Floats:
    """J (D,): what every channel is worth.

    With m_c the mean of class c's text and keys on a channel, the mean product over ordered pairs of different classes
    is ((sum_c m_c)^2 - sum_c m_c^2) / (C (C - 1)).
    """
    classes = len(support.classes)
    if classes < 2:
        return np.zeros(support.text.shape[1], dtype=np.float32)
    sums = support.text.astype(np.float64)
    np.add.at(sums, support.labels, support.means)
    means = sums / (1 + np.bincount(support.labels, minlength=classes))[:, None]
    similarity = (means.sum(0) ** 2 - (means**2).sum(0)) / (classes * (classes - 1))
    variance = support.text.astype(np.float64).var(0, ddof=1)
    return np.asarray((1 - similarity_weight) * variance - similarity_weight * similarity, dtype=np.float32)


def divergence(keys: Floats, labels: Ints, text: Floats) -> Floats:
    """KL (N,) of unit keys (N, Q) with class codes (N,) against unit text (C, Q)."""
    cosines = (keys @ text.T).astype(np.float64)
    own = np.exp(cosines[np.arange(len(keys)), labels]) / np.exp(cosines).sum(1)
    return np.asarray(np.log2((1 + TINY) / (own + TINY)), dtype=np.float32)
