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

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from adapters.arrays import Floats, Support, unit
from adapters.base import Head, cosine_logits, require
from adapters.bottleneck import Batch
from adapters.prototypes import base_text, cosine_loss
from adapters.training import products, resolve_device, threads_for, warmup_cosine


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


def train_prototypes(
    prototypes: Tensor,
    batches: Iterable[Batch],
    *,
    rates: Sequence[float],
    multipliers: Tensor | None,
    logit_scale: float = 100.0,
    momentum: float = 0.9,
) -> Tensor:
    """Train prototypes in place, one step a batch; the gradient is written out by hand.

    Args:
        prototypes: w (C, D), updated; the pull is to what they are when this is called.
        batches: what every step sees.
        rates: learning rate of every step.
        multipliers: lambda (C,), or None for no pull.
        logit_scale: s.
        momentum: of SGD.

    Returns:
        The loss before every update (steps,), with the pull.
    """
    losses = prototypes.new_zeros(len(rates))
    buffer = torch.zeros_like(prototypes)
    start = prototypes.clone()
    pull = None if multipliers is None else (multipliers / len(prototypes))[:, None]
    for step, (batch, rate) in enumerate(zip(batches, rates, strict=True)):
        loss, gradient = cosine_loss(batch.features, batch.labels, prototypes, logit_scale)
        if pull is not None:
            away = prototypes - start
            weighted = away * pull
            loss = loss + (away * weighted).sum()
            gradient.add_(weighted, alpha=2)
        losses[step] = loss
        buffer.mul_(momentum).add_(gradient)
        prototypes.add_(buffer, alpha=-rate)
    return losses


class ZeroShotLinearProbe(Head):
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
        require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        require(self.epochs >= 0, "epochs", self.epochs, "0 or more")

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return classes * dim

    def _multipliers(self, views: Tensor, labels: Tensor, text: Tensor) -> Tensor | None:
        """The pull on every prototype; see `class_multipliers`."""
        return None

    def _fit(self, support: Support) -> None:
        device = resolve_device(self.device)
        views, labels = (torch.from_numpy(array).to(device) for array in (support.unit_views, support.labels))
        prototypes = torch.from_numpy(base_text(support)).to(device, copy=True)
        with threads_for(products(self.batch_size, *prototypes.shape)):
            losses = train_prototypes(
                prototypes,
                self._batches(views, labels),
                rates=warmup_cosine(self.lr, self.epochs, max(1, len(labels) // self.batch_size)),
                multipliers=self._multipliers(views, labels, normalize(prototypes, dim=1)),
                logit_scale=self.logit_scale,
                momentum=self.momentum,
            )
        self.losses_ = losses.cpu().numpy()
        self.prototypes_ = prototypes.cpu().numpy()

    def _batches(self, views: Tensor, labels: Tensor) -> Iterator[Batch]:
        """Every step's batch."""
        generator = torch.Generator().manual_seed(self.seed)
        rows_of_epoch = max(1, len(labels) // self.batch_size) * self.batch_size
        pool, of_pool = views.flatten(0, 1), labels.repeat_interleave(views.shape[1])
        for _ in range(self.epochs):
            shuffle = torch.randperm(len(pool), generator=generator)[:rows_of_epoch].to(pool.device)
            for rows in torch.split(shuffle, self.batch_size):
                yield Batch(pool[rows], of_pool[rows])

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

    def _multipliers(self, views: Tensor, labels: Tensor, text: Tensor) -> Tensor:
        multipliers = class_multipliers(views, labels, text, self.logit_scale)
        self.multipliers_ = multipliers.cpu().numpy()
        return multipliers
