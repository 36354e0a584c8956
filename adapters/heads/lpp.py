"""LP++: a linear probe blended with zero-shot, class by class, with step sizes from the data.

    logits_c = w_c f + b_c + alpha_c (f t_c)            unit f (D,) and t_c (D,), no temperature

    start       w_c = sum of class c's support features,  alpha_c = 250 mean_c mean_{i in c} f_i t_c  (one for all)
    step sizes  of w and b: 4N / largest eigenvalue of F^T F, with momentum 0.9
                of alpha: N / (4 max_c sum_i (f_i t_c)^2), plain, every 10th epoch

in full-batch epochs of cross-entropy; F (N, D) is the support, w (C, D), b (C,), alpha (C,).
Source: Huang et al., LP++ (arXiv 2404.02285), as its released code runs: the start is the sum, not the mean; the
gradient of alpha is never reset, so that its steps take the sum of all gradients so far; the support is one augmented
view (the first one here). One thing differs: b starts at 0, not at a PyTorch layer's random draw around 0, so that
neither a seed nor the order of the classes matters.

The authors keep the epoch that is best on a few validation shots. `fit` has none and keeps the last one; `tuned`
chooses the epoch.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from adapters.arrays import Floats
from adapters.heads.traced import traced_sum
from adapters.parameters import AtLeast1
from adapters.selection.held_out import held_out_splits
from adapters.selection.looks import WatchedStack, right_along
from adapters.support import Rows, Support
from adapters.training.balance import Balanced
from adapters.training.class_sums import rows_by_class
from adapters.training.loop import class_logits, products
from adapters.training.stack_parts import StackedSGD
from adapters.training.trained_head import TrainedHead

ALPHA_SCALE = 250.0
"""The first alpha over the mean cosine of a row to its class text."""
ALPHA_EPOCHS = 10
"""Epochs between steps of alpha."""
MOMENTUM = 0.9
FOLDS = 4
"""Folds over the shots when `tuned` has only the support."""


class Plan(NamedTuple):
    """A training of a probe; its step sizes follow from the support."""

    support: Support
    epochs: int


class BlendedStack(WatchedStack):
    """G probes in training, in full-batch epochs; the gradients are written out by hand.

    Attributes:
        features: unit support rows F with a column of ones (G, N, D + 1).
        labels: class codes (G, N).
        text: unit class text (G, C, D).
        cosines: of rows and text (G, N, C).
        optimizer: of w and b in one (G, C, D + 1), at their step size.
        alpha: (G, 1, C).
        gradients: of alpha, their sum so far (G, 1, C).
        lr_alpha: step size of alpha (G, 1, 1).
    """

    state = ("features", "labels", "text", "cosines", "optimizer", "alpha", "gradients", "lr_alpha", "alpha_rate")

    def __init__(self, plans: Sequence[Plan], device: torch.device) -> None:
        supports, count = [plan.support for plan in plans], len(plans)
        (rows, _, dim), classes = supports[0].views.shape, len(supports[0].text)
        super().__init__(count, device=device, steps=plans[0].epochs, work=products(rows, classes, dim))
        features, self.labels, self.text = (
            torch.stack([torch.from_numpy(array) for array in arrays]).to(device)
            for arrays in zip(*((each.unit_views[:, 0], each.labels, each.text) for each in supports), strict=True)
        )
        self.features = torch.cat([features, features.new_ones(count, rows, 1)], 2)
        self.cosines = class_logits(features, self.text)
        sums = rows_by_class(features, self.labels, classes)
        counts = rows_by_class(torch.ones_like(features[..., :1]), self.labels, classes)[..., 0]
        own = (sums * self.text).sum(2) / counts  # NaN for a class without rows
        self.alpha = (ALPHA_SCALE * own.nanmean(1))[:, None, None].repeat(1, 1, classes)
        gram = features @ features.mT if rows < dim else features.mT @ features
        largest = torch.linalg.eigvalsh(gram)[:, -1]
        rates = 4 * rows / largest.clamp_min(1e-12)  # both are 0 only where all features are
        self.lr_alpha = rows / (4 * self.cosines.square().sum(1).amax(1).clamp_min(1e-12))[:, None, None]
        layer = torch.cat([sums, self.first_bias(sums)], 2)
        self.optimizer = StackedSGD(layer, rates[:, None].expand(-1, 1), momentum=MOMENTUM)
        self.optimizer.load(0)  # one rate for all steps
        self.gradients, self.alpha_rate = torch.zeros_like(self.alpha), torch.zeros_like(self.lr_alpha)

    @staticmethod
    def first_bias(sums: Tensor) -> Tensor:
        """The bias b (G, C, 1) at the start."""
        return sums.new_zeros(*sums.shape[:2], 1)

    def load(self, index: int) -> None:
        """Alpha takes a step every `ALPHA_EPOCHS` epochs only."""
        if (index + 1) % ALPHA_EPOCHS == 0:
            self.alpha_rate.copy_(self.lr_alpha)
        else:
            self.alpha_rate.zero_()

    def step(self) -> None:
        """SGD on cross-entropy."""
        logits = class_logits(self.features, self.optimizer.weight).add_(self.cosines * self.alpha)
        loss, gradient = self.balance.cross_entropy(logits, self.labels)
        self.loss.copy_(loss)
        self.optimizer.step(gradient.mT, self.features)
        self.gradients.add_(gradient.mul_(self.cosines).sum(1, keepdim=True))
        self.alpha.addcmul_(self.gradients, self.alpha_rate, value=-1)

    def logits(self, place: int, features: Tensor) -> Tensor:
        """As the head does."""
        layer = self.optimizer.weight[place]
        classes = layer[:, :-1].addcmul(self.text[place], self.alpha[place].T)
        return torch.addmm(layer[:, -1], features, classes.T)

    def learned(self, place: int) -> dict[str, Floats]:
        """The linear layer and the text weights."""
        layer, alpha = (each[place].cpu().numpy() for each in (self.optimizer.weight, self.alpha))
        return {"weight_": layer[:, :-1].copy(), "bias_": layer[:, -1].copy(), "alpha_": alpha[0]}


class LinearProbePlusPlus(TrainedHead[Plan]):
    """LP++ with the released recipe as defaults, but for the choice of the epoch.

    Args:
        epochs: full-batch epochs; what `tuned` chooses, up to the number given.
        balance: of classes with unequal numbers of shots, in the loss: none, loss or logit (`training.balance`).
        device: auto, cpu, cuda or mps.

    Attributes:
        weight_: w (C, D).
        bias_: b (C,).
        alpha_: weight of the class text (C,).
        losses_: training loss of every epoch; not saved.
    """

    method: ClassVar[str] = "lp++"
    source: ClassVar[str] = "LP++, arXiv 2404.02285"
    trains: ClassVar[str] = "a linear layer and a text weight a class"
    needs: ClassVar[str] = "text; one view used if there"
    try_when: ClassVar[str] = "a few shots, on any zero-shot; in a hard set it may be below it"
    learned: ClassVar[tuple[str, ...]] = ("weight_", "bias_", "alpha_")

    weight_: Floats
    bias_: Floats
    alpha_: Floats

    def __init__(self, *, epochs: AtLeast1 = 300, balance: Balanced = "logit", device: str = "auto") -> None:
        self.epochs = epochs
        self.balance = balance
        self.device = device

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return classes * (dim + 2)

    def _plan(self, support: Support) -> Plan:
        return Plan(support, self.epochs)

    def _stack_key(self, support: Support) -> Hashable:
        return len(support.labels), support.text.shape, self.epochs

    def _state_bytes(self, support: Support) -> int:
        return 4 * (2 * support.text.size + support.means.size)

    @staticmethod
    def _stack(plans: Sequence[Plan], device: torch.device) -> BlendedStack:
        return BlendedStack(plans, device)

    def _logits(self, features: Floats) -> Floats:
        return features @ self._blended().T + self.bias_

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        return traced_sum(features, self._blended(), self.bias_)

    def _blended(self) -> Floats:
        """Class weights (C, D): what was learned, and the text at its own ratio for each class."""
        return np.asarray(self.weight_ + self.alpha_[:, None] * self.text_)

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Count right answers after every epoch of one training, or of one a fold; the last of the best is kept."""
        splits = held_out_splits(support, rows, FOLDS)
        heads = [type(self)(**self.get_params()) for _ in splits]
        right = right_along(heads, splits, range(1, self.epochs + 1)).sum(0)
        head.set_params(epochs=int(np.flatnonzero(right == right.max())[-1]) + 1)
        return head
