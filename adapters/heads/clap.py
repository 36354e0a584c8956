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
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import normalize

from adapters.arrays import Floats, Support, unit
from adapters.head import cosine_logits, require
from adapters.heads.prototypes import base_text, cosine_loss
from adapters.training.loop import products, warmup_cosine
from adapters.training.stacked import Batches, StackedSGD, per_head, rates_of, steps_of
from adapters.training.stacking import Stack, TrainedHead


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


class PrototypeStack(Stack["ZeroShotLinearProbe"]):
    """G sets of prototypes in training; the gradient is written out by hand.

    Attributes:
        start: t (G, C, D).
        pull: lambda / C (G, C, 1), or None for no pull.
        optimizer: of the prototypes w (G, C, D), which start at t.
    """

    state = ("start", "pull", "batches", "optimizer", "logit_scale")

    def __init__(self, heads: Sequence[ZeroShotLinearProbe], supports: Sequence[Support]) -> None:
        first, support = heads[0], supports[0]
        plans = [head._plan(support) for head, support in zip(heads, supports, strict=True)]
        super().__init__(heads, steps=len(plans[0][0]), work=products(first.batch_size, *support.text.shape))
        self.start = torch.stack([torch.from_numpy(base_text(each)) for each in supports]).to(self.device)
        multipliers = [h._multipliers(each, start) for h, each, start in zip(heads, supports, self.start, strict=True)]
        given = [each for each in multipliers if each is not None]
        self.pull = (torch.stack(given) / len(support.text))[:, :, None] if given else None
        self.batches = Batches.of(supports, [rows for rows, _ in plans], self.device)
        rates = rates_of([rates for _, rates in plans], self.device)
        self.optimizer = StackedSGD(self.start.clone(), rates, momentum=first.momentum)
        self.logit_scale = per_head([head.logit_scale for head in heads], self.device)[:, None, None]

    def load(self, index: int) -> None:
        """Take the batch and the rates of a step."""
        self.batches.load(index)
        self.optimizer.load(index)

    def step(self) -> None:
        """SGD on cross-entropy and the pull."""
        prototypes = self.optimizer.weight
        loss, gradient = cosine_loss(self.batches.features, self.batches.labels, prototypes, self.logit_scale)
        self.loss.copy_(loss)
        if self.pull is not None:
            away = prototypes - self.start
            weighted = away * self.pull
            self.loss.add_((away * weighted).sum((1, 2)))
            gradient.add_(weighted, alpha=2)
        self.optimizer.step_along(gradient)

    def write(self, head: ZeroShotLinearProbe, place: int) -> None:
        """The prototypes."""
        head.prototypes_ = self.optimizer.weight[place].cpu().numpy()


class ZeroShotLinearProbe(TrainedHead):
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
    learned: ClassVar[tuple[str, ...]] = ("prototypes_",)

    prototypes_: Floats

    def __init__(
        self,
        *,
        lr: float = 0.1,
        momentum: float = 0.9,
        batch_size: int = 256,
        epochs: int = 300,
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.lr = lr
        self.momentum = momentum
        self.batch_size = batch_size
        self.epochs = epochs
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    def _check_parameters(self) -> None:
        require(self.lr >= 0, "lr", self.lr, "0 or more")
        require(0 <= self.momentum < 1, "momentum", self.momentum, "0 or more and below 1")
        require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        require(self.epochs >= 0, "epochs", self.epochs, "0 or more")

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return classes * dim

    def _multipliers(self, support: Support, start: Tensor) -> Tensor | None:
        """The pull (C,) on every prototype, which starts at t (C, D); see `class_multipliers`."""
        return None

    def _plan(self, support: Support) -> tuple[Tensor, list[float]]:
        """Row numbers (steps, B) of a pool of all views, and the learning rate of every step."""
        generator = torch.Generator().manual_seed(self.seed)
        rows, views, _ = support.views.shape
        batches = max(1, rows // self.batch_size)
        shuffles = (torch.randperm(rows * views, generator=generator) for _ in range(self.epochs))
        seen = [torch.split(shuffle[: batches * self.batch_size], self.batch_size) for shuffle in shuffles]
        return steps_of(seen, self.batch_size), warmup_cosine(self.lr, self.epochs, batches)

    def _stack_key(self, support: Support) -> Hashable:
        return support.views.shape, support.text.shape, self.batch_size, self.epochs, self.momentum

    def _state_bytes(self, support: Support) -> int:
        rows, views, dim = support.views.shape
        batch: int = min(self.batch_size, rows * views) * dim
        return 4 * (3 * support.text.size + batch)

    @classmethod
    def _stack(cls, heads: Sequence[Self], supports: Sequence[Support]) -> PrototypeStack:
        return PrototypeStack(heads, supports)

    def _logits(self, features: Floats) -> Floats:
        return cosine_logits(features, unit(self.prototypes_), self.logit_scale)


class CLAP(ZeroShotLinearProbe):
    """CLAP: ZS-LP with class-wise pulls to the text; everything else as there.

    Attributes:
        multipliers_: lambda (C,); not saved.
    """

    method: ClassVar[str] = "clap"
    source: ClassVar[str] = "CLAP, arXiv 2312.12730"
    trains: ClassVar[str] = "class prototypes, held to text"

    multipliers_: Floats

    def _multipliers(self, support: Support, start: Tensor) -> Tensor:
        views, labels = (torch.from_numpy(array).to(start.device) for array in (support.unit_views, support.labels))
        multipliers = class_multipliers(views, labels, normalize(start, dim=1), self.logit_scale)
        self.multipliers_ = multipliers.cpu().numpy()
        return multipliers
