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

import numpy as np
import torch
from torch import Tensor

from adapters.arrays import Floats, Support, unit
from adapters.base import Head, cosine_logits, require
from adapters.bottleneck import Batch
from adapters.metrics import softmax
from adapters.prototypes import cosine_loss
from adapters.training import products, resolve_device, threads_for, warmup_cosine


def class_multipliers(support: Support, logit_scale: float) -> Floats:
    """CLAP's lambda (C,): the mean zero-shot probability of the true class, over a class's rows and views.

    A class without rows gets 1, the most there can be: nothing speaks against its text.
    """
    text, labels = unit(support.mean_prompts), support.labels
    sums, counts = np.zeros(len(text)), np.bincount(labels, minlength=len(text))
    for view in range(support.unit_views.shape[1]):  # a view at a time: N x C probabilities are the memory
        probabilities = softmax(cosine_logits(support.unit_views[:, view], text, logit_scale))
        np.add.at(sums, labels, probabilities[np.arange(len(labels)), labels] / support.unit_views.shape[1])
    return np.where(counts > 0, sums / np.maximum(counts, 1), 1).astype(np.float32)


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
        loss, gradient = cosine_loss(batch, prototypes, logit_scale)
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

    The method forgoes validation on purpose, so `tuned` leaves the published settings as they are. The released
    learning rate is for raw text embeddings, whose norms are about 10: give a cache's text, which has them.

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
    needs: ClassVar[str] = "text, a prompt at a time; views used if there"
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

    def _multipliers(self, support: Support) -> Floats | None:
        return None

    def _fit(self, support: Support) -> None:
        device = resolve_device(self.device)
        multipliers = self._multipliers(support)
        prototypes = torch.from_numpy(support.mean_prompts).to(device, copy=True)
        with threads_for(products(self.batch_size, *prototypes.shape)):
            losses = train_prototypes(
                prototypes,
                self._batches(support, device),
                rates=warmup_cosine(self.lr, self.epochs, max(1, len(support.labels) // self.batch_size)),
                multipliers=None if multipliers is None else torch.from_numpy(multipliers).to(device),
                logit_scale=self.logit_scale,
                momentum=self.momentum,
            )
        self.losses_ = losses.cpu().numpy()
        self.prototypes_ = prototypes.cpu().numpy()

    def _batches(self, support: Support, device: torch.device) -> Iterator[Batch]:
        """Every step's batch."""
        generator = torch.Generator().manual_seed(self.seed)
        pool = torch.from_numpy(support.unit_views).to(device).flatten(0, 1)
        labels = torch.from_numpy(support.labels).to(device).repeat_interleave(support.views.shape[1])
        rows_of_epoch = max(1, len(support.labels) // self.batch_size) * self.batch_size
        for _ in range(self.epochs):
            shuffle = torch.randperm(len(pool), generator=generator)[:rows_of_epoch].to(device)
            for rows in torch.split(shuffle, self.batch_size):
                yield Batch(pool[rows], labels[rows])

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

    def _multipliers(self, support: Support) -> Floats:
        self.multipliers_ = class_multipliers(support, self.logit_scale)
        return self.multipliers_
