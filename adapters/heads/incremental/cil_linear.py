"""Class-incremental linear adapter with parameter retention.

    logits = s * n(W f) t^T,    W (D, D), no bias,    n(x) = x / |x|

After every task but the first, entries of W that changed little keep the value that they had before it:

    W <- W_old + m * (W_new - W_old)
    hard   m = 1 for the share `keep` of entries with the largest |W_new - W_old|, 0 for the rest
    soft   m = |W_new - W_old| / max |W_new - W_old|

Source: Liu et al., Class Incremental Learning with Pre-trained Vision-Language Models (arXiv 2310.20348). No code was
released, and only the abstract and descriptions by others could be read. NOT VERIFIED: the exact rule of retention (the
sources say that importance is measured by the change between tasks and that unimportant entries keep their old values),
the identity as first W (it makes the head zero-shot before training), and the recipe, which is RAPF's.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from adapters.heads.incremental.head import IncrementalHead, Rate
from adapters.parameters import AtLeast1, Ratio

Retention = Literal["hard", "soft", "none"]


def retained(old: Tensor, new: Tensor, rule: Retention, keep: float) -> Tensor:
    """A weight after a task, merged entry by entry with the one before it.

    Args:
        old: before the task, any shape.
        new: after the task.
        rule: hard, soft or none (all new).
        keep: share of the entries that take their new value under the hard rule.
    """
    change = new - old
    size = change.abs()
    if rule == "hard":
        count = round(keep * size.numel())
        mask = torch.zeros_like(change).flatten()
        mask[size.flatten().topk(count).indices] = 1
        return old + mask.view_as(change) * change
    if rule == "soft":
        return old + size / size.max().clamp_min(1e-30) * change
    return new


class RetainingHead(IncrementalHead):
    """What the two adapters of Liu et al. share: the hyper-parameters and parameter retention.

    Args:
        retention: hard, soft or none.
        keep: share of the entries that may change in a task, under hard retention.
        lr: learning rate of the first epochs.
        batch_size: rows of a step.
        epochs: passes over the rows of a task.
        logit_scale: the encoder's scale s.
        seed: seed of initial weights, shuffles and views.
        device: auto, cpu, cuda or mps.
    """

    source: ClassVar[str] = "Class-incremental CLIP, arXiv 2310.20348 (retention rule not verified)"

    def __init__(
        self,
        *,
        retention: Retention = "hard",
        keep: Ratio = 0.5,
        lr: Rate = 1e-3,
        batch_size: AtLeast1 = 100,
        epochs: AtLeast1 = 15,
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.retention = retention
        self.keep = keep
        self.lr = lr
        self.batch_size = batch_size
        self.epochs = epochs
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    def _merge(self, old: dict[str, Tensor], new: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: retained(old[name], new[name], self.retention, self.keep) for name in new}


class CilLinear(RetainingHead):
    """Linear adapter with parameter retention.

    Args:
        retention: what a task does to weights that it changed: hard (the most changed take their new value, the rest
            their old one), soft (each takes as much of its change as that is of the largest) or none.
        keep: share of the entries that may change in a task, under hard retention.
        lr: learning rate of the first epochs.
        batch_size: rows of a step.
        epochs: passes over the rows of a task.
        logit_scale: the encoder's scale s.
        seed: seed of shuffles and views.
        device: auto, cpu, cuda or mps.

    Attributes:
        weights_: `weight`, W (D, D).
    """

    method: ClassVar[str] = "cil-linear"
    trains: ClassVar[str] = "a linear layer D -> D, task after task"
    try_when: ClassVar[str] = "classes arrive in tasks"

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return dim * dim

    def _initial(self, dim: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {"weight": torch.eye(dim)}

    def _adapt(self, weights: dict[str, Tensor], rows: Tensor) -> Tensor:
        return rows @ weights["weight"].T
