"""ZS-LP and CLAP: a linear probe that starts at zero-shot, without and with a pull back to it.

    logits = s * n(f) n(w)^T            n(x) = x / |x|
    loss   = mean_i cross-entropy_i + mean_c lambda_c |w_c - t_c|^2

with prototypes w (C, D), which start at t (C, D), the mean of a class's raw prompt embeddings, not normalised. ZS-LP
has no second term. For CLAP lambda_c is the mean probability that zero-shot gives to class c on the class's own
support, over all views: a class that text knows well is held to its text. It is computed once, before training (the
released default; its variants "corrected", "constant", "balanced" and "adaptative" are left out).
Source: Silva-Rodriguez et al., A Closer Look at the Few-Shot Adaptation of Large Vision-Language Models
(arXiv 2312.12730), and the recipe of its released code: SGD, one warm-up epoch, cosine per epoch, last epoch.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from adapters.arrays import Floats, unit
from adapters.head import cosine_logits
from adapters.heads.prototypes import base_text, cosine_loss
from adapters.heads.traced import traced_cosines
from adapters.parameters import AtLeast1, BelowOne, NotNegative
from adapters.support import Support
from adapters.training.balance import Balanced
from adapters.training.loop import products, warmup_cosine
from adapters.training.stack import Stack
from adapters.training.stack_parts import Batches, StackedSGD, per_head, rates_of, steps_of
from adapters.training.trained_head import TrainedHead


def class_multipliers(views: Tensor, labels: Tensor, text: Tensor, logit_scale: float) -> Tensor:
    """CLAP's lambda (C,): the mean zero-shot probability of the true class, over a class's rows and views.

    A class without rows gets 1, the most there can be: nothing speaks against its text.

    Args:
        views: unit features (N, V, D).
        labels: class codes (N,).
        text: unit class text (C, D).
        logit_scale: s.
    """
    sums = text.new_zeros(len(text))
    for rows in views.unbind(1):  # a view at a time: the probabilities (N, C) are the memory
        probability = torch.softmax((rows @ text.T).mul_(logit_scale), 1)
        sums.index_add_(0, labels, probability.gather(1, labels[:, None])[:, 0])
    counts = torch.bincount(labels, minlength=len(text)) * views.shape[1]
    return torch.where(counts > 0, sums / counts.clamp_min(1), 1.0)


class Plan(NamedTuple):
    """A training of prototypes: all that is drawn, scheduled or set."""

    support: Support
    rows: Tensor
    """Row numbers (steps, B) of a pool of all views."""
    rates: list[float]
    """Learning rate of every step."""
    momentum: float
    logit_scale: float
    pulled: bool
    """Whether prototypes are pulled back to their text."""


class PrototypeStack(Stack):
    """G sets of prototypes in training; the gradient is written out by hand.

    Attributes:
        start: t (G, C, D).
        multipliers: lambda (G, C), or None for no pull.
        pull: lambda / C (G, C, 1), likewise.
        optimizer: of the prototypes w (G, C, D), which start at t.
    """

    state = ("start", "multipliers", "pull", "batches", "optimizer", "logit_scale")

    def __init__(self, plans: Sequence[Plan], device: torch.device) -> None:
        supports, (steps, batch) = [plan.support for plan in plans], plans[0].rows.shape
        super().__init__(len(plans), device=device, steps=steps, work=products(batch, *supports[0].text.shape))
        self.start = torch.stack([torch.from_numpy(base_text(each)) for each in supports]).to(device)
        self.multipliers = self.pull = None
        if plans[0].pulled:
            self.multipliers = torch.stack(
                [_multipliers(plan, start) for plan, start in zip(plans, self.start, strict=True)]
            )
            self.pull = (self.multipliers / len(supports[0].text))[:, :, None]
        self.batches = Batches.of(supports, [plan.rows for plan in plans], device)
        rates = rates_of([plan.rates for plan in plans], device)
        self.optimizer = StackedSGD(self.start.clone(), rates, momentum=plans[0].momentum)
        self.logit_scale = per_head([plan.logit_scale for plan in plans], device)[:, None, None]

    def load(self, index: int) -> None:
        """Take the batch and the rates of a step."""
        self.batches.load(index)
        self.optimizer.load(index)

    def step(self) -> None:
        """SGD on cross-entropy and the pull."""
        prototypes = self.optimizer.weight
        loss, gradient = cosine_loss(
            self.batches.features, self.batches.labels, prototypes, self.logit_scale, self.balance
        )
        self.loss.copy_(loss)
        if self.pull is not None:
            away = prototypes - self.start
            weighted = away * self.pull
            self.loss.add_((away * weighted).sum((1, 2)))
            gradient.add_(weighted, alpha=2)
        self.optimizer.step_along(gradient)

    def learned(self, place: int) -> dict[str, Floats]:
        """The prototypes, and what pulled on them."""
        pulls = {} if self.multipliers is None else {"multipliers_": self.multipliers[place].cpu().numpy()}
        return {"prototypes_": self.optimizer.weight[place].cpu().numpy(), **pulls}


def _multipliers(plan: Plan, start: Tensor) -> Tensor:
    views, labels = (torch.from_numpy(a).to(start.device) for a in (plan.support.unit_views, plan.support.labels))
    return class_multipliers(views, labels, normalize(start, dim=1), plan.logit_scale)


class ZeroShotLinearProbe(TrainedHead[Plan]):
    """ZS-LP with the released recipe as defaults.

    The rows of all views are one pool. Every epoch shuffles it and takes as many batches of it as one view would fill,
    so that an epoch costs the same however many views there are; a support smaller than a batch gives one batch, of
    rows from the whole pool.

    The method forgoes validation on purpose, so `tuned` leaves the published settings as they are.

    Args:
        lr: learning rate after the warm-up.
        momentum: momentum.
        batch_size: rows of a step.
        epochs: passes.
        balance: of classes with unequal numbers of shots, in the loss: none, loss or logit (`training.balance`).
        logit_scale: the encoder's scale s.
        seed: seed of the shuffles.
        device: auto, cpu, cuda or mps.

    Attributes:
        prototypes_: w (C, D).
        losses_: training loss of every step; not saved.
    """

    method: ClassVar[str] = "zs-lp"
    source: ClassVar[str] = "ZS-LP of CLAP, arXiv 2312.12730"
    trains: ClassVar[str] = "class prototypes, from text"
    needs: ClassVar[str] = "text per template; views used if there"
    try_when: ClassVar[str] = "a good zero-shot and any number of shots; a strong and simple baseline"
    learned: ClassVar[tuple[str, ...]] = ("prototypes_",)

    prototypes_: Floats

    def __init__(
        self,
        *,
        lr: NotNegative = 0.1,
        momentum: BelowOne = 0.9,
        batch_size: AtLeast1 = 256,
        epochs: AtLeast1 = 300,
        balance: Balanced = "logit",
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.lr = lr
        self.momentum = momentum
        self.batch_size = batch_size
        self.epochs = epochs
        self.balance = balance
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return classes * dim

    def _plan(self, support: Support) -> Plan:
        generator = torch.Generator().manual_seed(self.seed)
        rows, views, _ = support.views.shape
        batches = max(1, rows // self.batch_size)
        shuffles = (torch.randperm(rows * views, generator=generator) for _ in range(self.epochs))
        seen = [torch.split(shuffle[: batches * self.batch_size], self.batch_size) for shuffle in shuffles]
        rates = warmup_cosine(self.lr, self.epochs, batches)
        steps = steps_of(seen, self.batch_size)
        return Plan(support, steps, rates, self.momentum, self.logit_scale, pulled=False)

    def _stack_key(self, support: Support) -> Hashable:
        return support.views.shape, support.text.shape, self.batch_size, self.epochs, self.momentum

    def _state_bytes(self, support: Support) -> int:
        rows, views, dim = support.views.shape
        batch: int = min(self.batch_size, rows * views) * dim
        return 4 * (3 * support.text.size + batch)

    @staticmethod
    def _stack(plans: Sequence[Plan], device: torch.device) -> PrototypeStack:
        return PrototypeStack(plans, device)

    def prototypes(self) -> Floats:
        """The prototypes (C, D), of norm 1."""
        return unit(self.prototypes_)

    def _logits(self, features: Floats) -> Floats:
        return cosine_logits(features, self.prototypes(), self.logit_scale)

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        return traced_cosines(features, self.prototypes(), self.logit_scale)


class CLAP(ZeroShotLinearProbe):
    """CLAP: ZS-LP with class-wise pulls to the text; everything else as there.

    Attributes:
        multipliers_: lambda (C,); not saved.
    """

    method: ClassVar[str] = "clap"
    source: ClassVar[str] = "CLAP, arXiv 2312.12730"
    trains: ClassVar[str] = "class prototypes, held to text"
    try_when: ClassVar[str] = "very few shots and a zero-shot worth holding on to"

    multipliers_: Floats

    def _plan(self, support: Support) -> Plan:
        return super()._plan(support)._replace(pulled=True)
