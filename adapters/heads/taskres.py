"""TaskRes: a residual on the class text, learnt by cross-entropy.

    t'_c   = t_c + alpha x_c
    logits = s * n(f) n(t')^T           n(x) = x / |x|

with base text t (C, D), the mean of a class's raw prompt embeddings, not normalised, and residual x (C, D), which
starts at 0. Source: Yu et al., TaskRes (arXiv 2211.10277), and the recipe of its released code: Adam with coupled
weight decay, one warm-up epoch, cosine per epoch. The variant with an enhanced base, whose text projection is tuned
first, needs the text encoder and is left out.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Annotated, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from adapters.arrays import Floats, unit
from adapters.head import cosine_logits
from adapters.heads.prototypes import base_text, cosine_loss
from adapters.heads.traced import traced_cosines
from adapters.parameters import AtLeast1, NotNegative, Tried
from adapters.selection.refit import choose_by_refit
from adapters.support import Rows, Support
from adapters.training.balance import Balanced
from adapters.training.loop import epoch_batches, products, views_in_turn, warmup_cosine
from adapters.training.stack import Stack
from adapters.training.stack_parts import Batches, StackedAdamW, per_head, rates_of, steps_of
from adapters.training.trained_head import TrainedHead

Alpha = Annotated[NotNegative, Tried(0.0, 0.1, 0.3, 0.5, 0.7, 1.0)]
"""Tried from zero-shot to the largest that is published (1.0, for Flowers102); own choice."""


class Plan(NamedTuple):
    """A training of a residual: all that is drawn, scheduled or set."""

    support: Support
    rows: Tensor
    """Row numbers (steps, B) of a pool of all views."""
    rates: list[float]
    """Learning rate of every step."""
    alpha: float
    logit_scale: float
    weight_decay: float


class ResidualStack(Stack):
    """G residuals in training; the gradient is written out by hand.

    Attributes:
        base: t (G, C, D).
        optimizer: of the residuals x (G, C, D), which start at 0.
    """

    state = ("base", "batches", "optimizer", "alpha", "logit_scale", "weight_decay")

    def __init__(self, plans: Sequence[Plan], device: torch.device) -> None:
        supports, (steps, batch) = [plan.support for plan in plans], plans[0].rows.shape
        super().__init__(len(plans), device=device, steps=steps, work=products(batch, *supports[0].text.shape))
        self.base = torch.stack([torch.from_numpy(base_text(each)) for each in supports]).to(device)
        self.batches = Batches.of(supports, [plan.rows for plan in plans], device)
        rates = rates_of([plan.rates for plan in plans], device)
        nothing = torch.zeros(len(plans), device=device)
        self.optimizer = StackedAdamW(torch.zeros_like(self.base), rates, weight_decay=nothing, eps=1e-8)
        self.alpha, self.logit_scale, self.weight_decay = (
            per_head([getattr(plan, name) for plan in plans], device)[:, None, None]
            for name in ("alpha", "logit_scale", "weight_decay")
        )

    def load(self, index: int) -> None:
        """Take the batch and the rates of a step."""
        self.batches.load(index)
        self.optimizer.load(index)

    def step(self) -> None:
        """Adam with coupled weight decay, on cross-entropy."""
        residual = self.optimizer.weight
        prototypes = torch.addcmul(self.base, residual, self.alpha)
        loss, gradient = cosine_loss(
            self.batches.features, self.batches.labels, prototypes, self.logit_scale, self.balance
        )
        self.loss.copy_(loss)
        self.optimizer.step(gradient.mul_(self.alpha).addcmul_(residual, self.weight_decay))

    def learned(self, place: int) -> dict[str, Floats]:
        """The base and the residual."""
        return {"base_": self.base[place].cpu().numpy(), "residual_": self.optimizer.weight[place].cpu().numpy()}


class TaskRes(TrainedHead[Plan]):
    """TaskRes with the released recipe as defaults.

    Every epoch is a new shuffle, of which an incomplete last batch is left out, as the released framework does; a
    support smaller than a batch is one batch. With augmented views, epoch e trains on view e modulo their number.

    Args:
        alpha: residual ratio; 0 is zero-shot. The authors use 1.0 for Flowers102.
        lr: learning rate after the warm-up (the authors train ImageNet with 2e-4).
        weight_decay: weight decay (coupled).
        batch_size: rows of a step.
        epochs: passes over the support; None: 100 for up to 4 shots, else 200.
        balance: of classes with unequal numbers of shots, in the loss: none, loss or logit (`training.balance`).
        logit_scale: the encoder's scale s.
        seed: seed of the shuffles.
        device: auto, cpu, cuda or mps.

    Attributes:
        base_: t (C, D).
        residual_: x (C, D).
        losses_: training loss of every step; not saved.
    """

    method: ClassVar[str] = "taskres"
    source: ClassVar[str] = "TaskRes, arXiv 2211.10277"
    trains: ClassVar[str] = "a residual on the class text"
    needs: ClassVar[str] = "text per template; views used if there"
    try_when: ClassVar[str] = "a good zero-shot that shots should only correct"
    learned: ClassVar[tuple[str, ...]] = ("base_", "residual_")

    base_: Floats
    residual_: Floats

    def __init__(
        self,
        *,
        alpha: Alpha = 0.5,
        lr: NotNegative = 2e-3,
        weight_decay: NotNegative = 5e-4,
        batch_size: AtLeast1 = 256,
        epochs: AtLeast1 | None = None,
        balance: Balanced = "logit",
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.balance = balance
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return classes * dim

    def _epochs(self, support: Support) -> int:
        return (100 if support.shots <= 4 else 200) if self.epochs is None else self.epochs

    def _plan(self, support: Support) -> Plan:
        generator = torch.Generator().manual_seed(self.seed)
        epochs, (rows, views, _) = self._epochs(support), support.views.shape
        plan = epoch_batches(rows, self.batch_size, epochs, generator, drop_last=True)
        rates = warmup_cosine(self.lr, epochs, len(plan[0]) if plan else 0)
        steps = steps_of(views_in_turn(plan, views), min(self.batch_size, rows))
        return Plan(support, steps, rates, self.alpha, self.logit_scale, self.weight_decay)

    def _stack_key(self, support: Support) -> Hashable:
        return support.views.shape, support.text.shape, self.batch_size, self._epochs(support)

    def _state_bytes(self, support: Support) -> int:
        return 4 * 3 * support.text.size

    @staticmethod
    def _stack(plans: Sequence[Plan], device: torch.device) -> ResidualStack:
        return ResidualStack(plans, device)

    def _logits(self, features: Floats) -> Floats:
        return cosine_logits(features, self.prototypes(), self.logit_scale)

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        return traced_cosines(features, self.prototypes(), self.logit_scale)

    def prototypes(self) -> Floats:
        """Unit class text (C, D) with its residual."""
        # With a ratio of 0: zero-shot, to the last bit, with the class text as every other head averages it.
        return unit(self.base_ + self.alpha * self.residual_) if self.alpha else self.text_

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Train once for every alpha that is worth trying."""
        choose_by_refit(head, support, rows, "alpha")
        return head
