"""TaskRes: a residual on the class text, learnt by cross-entropy.

    t'_c   = t_c + alpha x_c
    logits = s * n(f) n(t')^T           n(x) = x / |x|

with base text t (C, D), the mean of a class's raw prompt embeddings, not normalised, and residual x (C, D), which
starts at 0. Source: Yu et al., TaskRes (arXiv 2211.10277), and the recipe of its released code: Adam with coupled
weight decay, one warm-up epoch, cosine per epoch. The variant with an enhanced base, whose text projection is tuned
first, needs the text encoder and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor

from adapters.arrays import Floats, Support, unit
from adapters.base import Head, Rows, cosine_logits, require
from adapters.bottleneck import Batch
from adapters.prototypes import base_text, cosine_loss
from adapters.refit import choose_by_refit
from adapters.training import AdamW, epoch_batches, products, resolve_device, threads_for, warmup_cosine

ALPHAS = (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)
"""Ratios that `tuned` tries, from zero-shot to the largest that is published (1.0, for Flowers102); own choice."""


def train_residual(
    residual: Tensor,
    base: Tensor,
    batches: Iterable[Batch],
    *,
    rates: Sequence[float],
    alpha: float,
    logit_scale: float = 100.0,
    weight_decay: float = 5e-4,
) -> Tensor:
    """Train a residual in place, one step a batch; the gradient is written out by hand.

    Args:
        residual: x (C, D), updated.
        base: t (C, D).
        batches: what every step sees.
        rates: learning rate of every step.
        alpha: residual ratio.
        logit_scale: s.
        weight_decay: of Adam, coupled.

    Returns:
        The loss before every update (steps,).
    """
    optimizer = AdamW(residual, weight_decay=0, eps=1e-8)
    losses = base.new_zeros(len(rates))
    for step, (batch, rate) in enumerate(zip(batches, rates, strict=True)):
        losses[step], gradient = cosine_loss(batch, torch.add(base, residual, alpha=alpha), logit_scale)
        optimizer.step(gradient.mul_(alpha).add_(residual, alpha=weight_decay), rate)
    return losses


class TaskRes(Head):
    """TaskRes with the released recipe as defaults.

    Every epoch is a new shuffle, of which an incomplete last batch is left out, as the released framework does; a
    support smaller than a batch is one batch. With augmented views, epoch e trains on view e modulo their number.

    Args:
        alpha: residual ratio; 0 is zero-shot. The authors use 1.0 for Flowers102.
        lr: learning rate after the warm-up (the authors train ImageNet with 2e-4).
        weight_decay: weight decay (coupled).
        batch_size: rows of a step.
        epochs: passes over the support; None: 100 for up to 4 shots, else 200.
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
    learned: ClassVar[tuple[str, ...]] = ("base_", "residual_")

    base_: Floats
    residual_: Floats

    def __init__(
        self,
        *,
        alpha: float = 0.5,
        lr: float = 2e-3,
        weight_decay: float = 5e-4,
        batch_size: int = 256,
        epochs: int | None = None,
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    def _check_parameters(self) -> None:
        require(self.alpha >= 0, "alpha", self.alpha, "0 or more")
        require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        require(self.epochs is None or self.epochs >= 0, "epochs", self.epochs, "0 or more, or None")

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return classes * dim

    def _fit(self, support: Support) -> None:
        device = resolve_device(self.device)
        generator = torch.Generator().manual_seed(self.seed)
        views, labels, base = (
            torch.from_numpy(array).to(device) for array in (support.unit_views, support.labels, base_text(support))
        )
        epochs = (100 if support.shots <= 4 else 200) if self.epochs is None else self.epochs
        plan = epoch_batches(len(labels), self.batch_size, epochs, generator, drop_last=True)
        batches = (
            Batch(views[rows, epoch % views.shape[1]], labels[rows])
            for epoch, batches in enumerate(plan)
            for rows in (batch.to(device) for batch in batches)
        )
        residual = torch.zeros_like(base)
        with threads_for(products(self.batch_size, *base.shape)):
            losses = train_residual(
                residual,
                base,
                batches,
                rates=warmup_cosine(self.lr, epochs, len(plan[0]) if plan else 0),
                alpha=self.alpha,
                logit_scale=self.logit_scale,
                weight_decay=self.weight_decay,
            )
        self.losses_ = losses.cpu().numpy()
        self.base_, self.residual_ = base.cpu().numpy(), residual.cpu().numpy()

    def _logits(self, features: Floats) -> Floats:
        # With a ratio of 0: zero-shot, to the last bit, with the class text as every other head averages it.
        text = unit(self.base_ + self.alpha * self.residual_) if self.alpha else self.text_
        return cosine_logits(features, text, self.logit_scale)

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Train once for every alpha of `ALPHAS`."""
        head.set_params(alpha=choose_by_refit(self, support, rows, "alpha", ALPHAS))
        return head
