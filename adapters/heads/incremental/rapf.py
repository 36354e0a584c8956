"""RAPF: a class-incremental linear adapter with Gaussian replay and decomposed parameter fusion.

    logits = s * n(W f) t^T,    W (D, D), no bias,    n(x) = x / |x|

While a task is trained, old classes are drawn from Gaussians N(mean_c, cov_c + ridge I) of their unit features, and old
classes whose text is nearer than `threshold` to a new class's, |t_old - t_new|, are pushed apart from it:

    loss = cross-entropy over all classes seen + mean max(0, n(W x) . (t_new - t_old) + 0.1),    x ~ old class

After every task but the first, with the singular value decomposition W_old = U S V^T and P = U^T W_new:

    m = min(1, |P - S V^T| / max |P - S V^T| + bias),    W <- U (m * P + (1 - m) * S V^T)

Source: Huang et al., Class-Incremental Learning with CLIP: Adaptive Representation Adjustment and Parameter Fusion
(arXiv 2407.14143), and its released code: Adam lr 1e-3, 15 epochs, batch 100, 20 draws of an old class and 40 of a near
pair a step, bias 0.6, threshold 0.55.

Where this differs: W begins as the identity, not at random (`init="random"` is the released way): from a random W a few
shots do not find back to what the encoder knew. Statistics are those of unit features, and the ridge, 1e-4 for raw
features whose norms are about 10, becomes 1e-6. A covariance is kept as a factor of as many rows as the class had, or
D: the same Gaussian, and bounded memory. As many old classes are drawn in a step as an epoch needs to meet each once
(released: set by hand for each data set, 2 at least), and at most `PAIRS` near pairs, drawn anew.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from adapters.heads.incremental.gaussians import Gaussians
from adapters.heads.incremental.head import IncrementalHead, Rate
from adapters.parameters import AtLeast1, NotNegative, Ratio
from adapters.support import Support
from adapters.training.loop import threads_for

FirstWeight = Literal["identity", "random"]

RIDGE = 1e-6
"""Added to the variances of unit features."""
MARGIN = 0.1
"""Of the hinge loss, in cosines."""
DRAWS = 20
"""Rows drawn of an old class in a step; twice as many of a near pair."""
CLASSES = 2
"""Old classes drawn in a step, at least."""
PAIRS = 64
"""Near pairs of old and new classes in a step, at most."""


def fused(old: Tensor, new: Tensor, bias: float) -> Tensor:
    """Decomposed parameter fusion of a weight (D, D) before and after a task.

    It does not depend on the signs of singular vectors, but it does on their basis where singular values are equal.

    Args:
        old: before the task.
        new: after the task.
        bias: the least share of a change that is accepted.
    """
    left, values, right = torch.linalg.svd(old)
    before, after = values[:, None] * right, left.T @ new
    change = (after - before).abs()
    mask = (change / change.max().clamp_min(1e-30) + bias).clamp_max(1)
    return torch.mm(left, torch.lerp(before, after, mask))


class Rapf(IncrementalHead):
    """RAPF with the released recipe, but for the first W; see the module.

    Args:
        bias: least share of a change that fusion accepts; 1 is no fusion.
        threshold: distance between texts below which an old and a new class are pushed apart.
        replay: whether old classes are drawn from their Gaussians while a task is trained.
        shrink: whether those Gaussians' covariances are shrunk.
        init: first W: identity or random.
        lr: learning rate of the first epochs.
        batch_size: rows of a step, beside those drawn.
        epochs: passes over the rows of a task.
        logit_scale: the encoder's scale s.
        seed: seed of shuffles, views, draws and a random W.
        device: auto, cpu, cuda or mps.

    Attributes:
        weights_: `weight`, W (D, D).
        gaussians_: mean and covariance of the unit features of every class seen.
    """

    method: ClassVar[str] = "rapf"
    source: ClassVar[str] = "RAPF, arXiv 2407.14143"
    trains: ClassVar[str] = "a linear layer D -> D, task after task"
    try_when: ClassVar[str] = "classes arrive in tasks and old images may not be kept"

    gaussians_: Gaussians

    def __init__(
        self,
        *,
        bias: Ratio = 0.6,
        threshold: NotNegative = 0.55,
        replay: bool = True,
        shrink: bool = False,
        init: FirstWeight = "identity",
        lr: Rate = 1e-3,
        batch_size: AtLeast1 = 100,
        epochs: AtLeast1 = 15,
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.bias = bias
        self.threshold = threshold
        self.replay = replay
        self.shrink = shrink
        self.init = init
        self.lr = lr
        self.batch_size = batch_size
        self.epochs = epochs
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return dim * dim

    def _initial(self, dim: int, generator: torch.Generator) -> dict[str, Tensor]:
        self.gaussians_ = Gaussians.none(dim)
        if self.init == "identity":
            return {"weight": torch.eye(dim)}
        bound = 1 / math.sqrt(dim)  # as PyTorch draws a linear layer
        return {"weight": torch.empty(dim, dim).uniform_(-bound, bound, generator=generator)}

    def _adapt(self, weights: dict[str, Tensor], rows: Tensor) -> Tensor:
        return rows @ weights["weight"].T

    def _merge(self, old: dict[str, Tensor], new: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"weight": fused(old["weight"], new["weight"], self.bias)}

    def _learn(self, support: Support) -> None:
        new = np.unique(support.labels)
        self._old = torch.from_numpy(np.setdiff1d(self.gaussians_.known, new))
        distance = torch.cdist(torch.from_numpy(support.text)[self._old], torch.from_numpy(support.text[new]))
        near = (distance < self.threshold).nonzero()
        self._near = torch.stack([self._old[near[:, 0]], torch.from_numpy(new)[near[:, 1]]], 1)
        super()._learn(support)
        rows, views = support.unit_views, support.unit_views.shape[1]
        with threads_for(rows.shape[2] ** 2):
            self.gaussians_ = self.gaussians_.updated(
                rows.reshape(-1, rows.shape[2]),
                np.repeat(support.labels, views),
                len(support.classes),
                ridge=RIDGE,
                shrink=self.shrink,
            )

    def _replay(
        self, batch: int, batches: int, generator: torch.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Draws of the old classes whose turn it is; an epoch begins with a new order of them."""
        if not self.replay or not len(self._old):
            return super()._replay(batch, batches, generator, device)
        if batch == 0:
            self._old = self._old[torch.randperm(len(self._old), generator=generator)]
        size = min(len(self._old), max(CLASSES, math.ceil(len(self._old) / batches)))
        turn = torch.arange(batch * size, (batch + 1) * size) % len(self._old)
        rows = self.gaussians_.draw(self._old[turn], DRAWS, generator)
        return rows.to(device), self._old[turn].repeat_interleave(DRAWS).to(device)

    def _penalty(self, weights: dict[str, Tensor], text: Tensor, generator: torch.Generator) -> Tensor:
        """The hinge loss of near pairs."""
        if not self.replay or not len(self._near):
            return text.new_zeros(())
        pairs = self._near[torch.randperm(len(self._near), generator=generator)[:PAIRS]]
        rows = self.gaussians_.draw(pairs[:, 0], 2 * DRAWS, generator).to(text.device)
        adapted = normalize(self._adapt(weights, rows), dim=1).view(len(pairs), 2 * DRAWS, -1)
        old, new = text[pairs.T.to(text.device)]
        return torch.relu((adapted @ (new - old)[:, :, None]) + MARGIN).mean()

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {**super()._arrays(), **{f"gaussians_{k}": v for k, v in self.gaussians_._asdict().items()}}

    def _restore(self, arrays: dict[str, NDArray[Any]], classes: NDArray[Any]) -> None:
        self.gaussians_ = Gaussians(*(arrays.pop(f"gaussians_{name}") for name in Gaussians._fields))
        super()._restore(arrays, classes)
