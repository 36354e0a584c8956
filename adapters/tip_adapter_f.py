"""Tip-Adapter-F: Tip-Adapter whose keys are fine-tuned.

    logits = s * n(f) n(t)^T + alpha * phi(n(f) F^T) Y,    phi(A) = exp(-beta (1 - A))

The keys F (N, D) start as Tip-Adapter's and are trained by cross-entropy with AdamW; they are not normalised again, and
Y and the text stay fixed. Source: Zhang et al., Tip-Adapter (arXiv 2111.03930), and the recipe of its released code,
except that the keys of the last epoch are kept: the released code keeps the epoch that is best on the test set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor

from adapters.arrays import Support
from adapters.base import Rows, require
from adapters.held_out import held_out_splits
from adapters.key_cache import KeyCache
from adapters.tip_adapter import Block, TipAdapter, search
from adapters.training import AdamW, cosine, cross_entropy, epoch_batches, resolve_device, threads_for

FOLDS = 4
"""Folds over the shots when `tuned` has only the support."""


def train_keys(
    keys: Tensor,
    key_labels: Tensor,
    text: Tensor,
    batches: Sequence[tuple[Tensor, Tensor]],
    *,
    rates: Sequence[float],
    alpha: float,
    beta: float,
    logit_scale: float = 100.0,
    weight_decay: float = 0.01,
    eps: float = 1e-4,
) -> Tensor:
    """Train keys in place, one step a batch; the gradient is written out by hand.

    Args:
        keys: (N, D), updated.
        key_labels: class codes of the keys (N,).
        text: unit class text (C, D).
        batches: unit features (B, D) and class codes (B,) of every step.
        rates: learning rate of every step.
        alpha: residual ratio.
        beta: sharpness.
        logit_scale: s.
        weight_decay: of AdamW.
        eps: of AdamW.

    Returns:
        The loss before every update (steps,).
    """
    optimizer = AdamW(keys, weight_decay=weight_decay, eps=eps)
    losses = text.new_zeros(len(batches))
    for step, ((features, labels), rate) in enumerate(zip(batches, rates, strict=True)):
        sharpened = (features @ keys.T).sub_(1).mul_(beta).exp_()
        voters = key_labels.expand(sharpened.shape)
        logits = (logit_scale * (features @ text.T)).scatter_add_(1, voters, alpha * sharpened)
        losses[step], gradient = cross_entropy(logits, labels)
        affinity = sharpened.mul_(gradient.gather(1, voters)).mul_(alpha * beta)
        optimizer.step(affinity.T @ features, rate)
    return losses


class TipAdapterF(TipAdapter):
    """Tip-Adapter-F with the released recipe as defaults.

    With augmented views, epoch e trains on view e modulo the number of views.

    Args:
        alpha: residual ratio of the cache; 0 is zero-shot.
        beta: sharpness.
        train_alpha: residual ratio while the keys are trained; None: `alpha`.
        train_beta: sharpness while the keys are trained; None: `beta`.
        neighbours: how many of the nearest keys vote when predicting; None: all. Training always uses all.
        lr: learning rate, falling along a cosine towards 0.
        weight_decay: weight decay (decoupled).
        batch_size: rows of a step.
        epochs: passes over the support (the authors train EuroSAT for 100).
        logit_scale: the encoder's scale s.
        seed: seed of the shuffles.
        device: auto, cpu, cuda or mps.

    Attributes:
        cache_: the trained keys in FAISS, with their classes.
        losses_: training loss of every step; not saved.
    """

    method: ClassVar[str] = "tip-f"
    trains: ClassVar[str] = "the cache's keys"

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        beta: float = 5.5,
        train_alpha: float | None = None,
        train_beta: float | None = None,
        neighbours: int | None = None,
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        batch_size: int = 256,
        epochs: int = 20,
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        super().__init__(alpha=alpha, beta=beta, neighbours=neighbours, logit_scale=logit_scale, device=device)
        self.train_alpha = train_alpha
        self.train_beta = train_beta
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.seed = seed

    def _check_parameters(self) -> None:
        super()._check_parameters()
        require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        require(self.epochs >= 0, "epochs", self.epochs, "0 or more")

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return rows * dim

    def _keys(self) -> int:
        return len(self.cache_)

    def _fit(self, support: Support) -> None:
        device = resolve_device(self.device)
        generator = torch.Generator().manual_seed(self.seed)
        views, labels, text, keys = (
            torch.from_numpy(array).to(device)
            for array in (support.unit_views, support.labels, support.text, support.means.copy())
        )
        plan = epoch_batches(len(labels), self.batch_size, self.epochs, generator, drop_last=False)
        steps = [(rows.to(device), epoch % views.shape[1]) for epoch, batches in enumerate(plan) for rows in batches]
        with threads_for(keys.numel()):
            losses = train_keys(
                keys,
                labels,
                text,
                [(views[rows, view], labels[rows]) for rows, view in steps],
                rates=cosine(self.lr, len(steps)),
                alpha=self.alpha if self.train_alpha is None else self.train_alpha,
                beta=self.beta if self.train_beta is None else self.train_beta,
                logit_scale=self.logit_scale,
                weight_decay=self.weight_decay,
            )
        self.losses_ = losses.cpu().numpy()
        self.cache_ = KeyCache(keys.cpu().numpy(), support.labels, len(support.classes), device)

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Train the keys with the alpha and beta at hand, then search the published grid for those of prediction.

        The clone keeps the former as `train_alpha` and `train_beta`, so that its `fit` trains the very same keys. With
        only the support, keys are trained on all but the held-out shots of each fold, and counts of folds add up.
        """
        splits = held_out_splits(support, rows, FOLDS)
        blocks = (block for kept, out in splits for block in self._trained_blocks(kept, out))
        found = search(blocks, len(support.classes))
        head.set_params(
            alpha=found.alpha,
            beta=found.beta,
            train_alpha=self.alpha if self.train_alpha is None else self.train_alpha,
            train_beta=self.beta if self.train_beta is None else self.train_beta,
        )
        return head

    def _trained_blocks(self, support: Support, rows: Rows) -> Iterator[Block]:
        return type(self)(**self.get_params())._fit_support(support)._blocks(support, rows)
