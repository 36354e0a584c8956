"""Class-incremental self-attention adapter with parameter retention.

    Q = W_q f,  K = W_k f,  V = W_v f,    A = softmax(Q K^T / sqrt(d)) V,    logits = s * n(f + A) t^T

with W_q, W_k, W_v (D, D), and retention as in `adapters.heads.incremental.cil_linear`, each matrix on its own. Source:
Liu et al., Class Incremental Learning with Pre-trained Vision-Language Models (arXiv 2310.20348), no code released.

NOT VERIFIED: what attends to what. An image has one global feature, and attention of a single token is just V;
attention over the batch would make a prediction depend on the other rows. Here Q, K and V are cut into `tokens` pieces
of d = D / tokens numbers that attend to each other within one image. Also not verified: the residual f + A, W_v = 0 at
first (so that the head begins as zero-shot); the unit feature is taken times sqrt(D) for Q and K, which makes their
entries, and the attention logits, of the order of one.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from adapters.heads.incremental.cil_linear import RetainingHead, Retention
from adapters.heads.incremental.head import Rate
from adapters.parameters import AtLeast1, Ratio, require
from adapters.support import Support


class CilAttention(RetainingHead):
    """Self-attention adapter with parameter retention.

    Args:
        tokens: pieces that a feature is cut into; they divide D.
        retention: what a task does to weights that it changed: hard (the most changed take their new value, the rest
            their old one), soft (each takes as much of its change as that is of the largest) or none.
        keep: share of the entries that may change in a task, under hard retention.
        lr: learning rate of the first epochs.
        batch_size: rows of a step.
        epochs: passes over the rows of a task.
        logit_scale: the encoder's scale s.
        seed: seed of initial weights, shuffles and views.
        device: auto, cpu, cuda or mps.

    Attributes:
        weights_: `query`, `key` and `value`, each (D, D).
    """

    method: ClassVar[str] = "cil-attention"
    trains: ClassVar[str] = "query, key and value projections, task after task"
    try_when: ClassVar[str] = "classes arrive in tasks and resemble each other"

    def __init__(
        self,
        *,
        tokens: AtLeast1 = 8,
        retention: Retention = "hard",
        keep: Ratio = 0.5,
        lr: Rate = 1e-3,
        batch_size: AtLeast1 = 100,
        epochs: AtLeast1 = 15,
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        super().__init__(
            retention=retention,
            keep=keep,
            lr=lr,
            batch_size=batch_size,
            epochs=epochs,
            logit_scale=logit_scale,
            seed=seed,
            device=device,
        )
        self.tokens = tokens

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return 3 * dim * dim

    def _fit(self, support: Support) -> None:
        dim = support.text.shape[1]
        require(dim % self.tokens == 0, "tokens", self.tokens, f"a divisor of the feature's width {dim}")
        super()._fit(support)

    def _initial(self, dim: int, generator: torch.Generator) -> dict[str, Tensor]:
        bound = 1 / math.sqrt(dim)
        query, key = (torch.empty(dim, dim).uniform_(-bound, bound, generator=generator) for _ in range(2))
        return {"query": query, "key": key, "value": torch.zeros(dim, dim)}

    def _adapt(self, weights: dict[str, Tensor], rows: Tensor) -> Tensor:
        dim = rows.shape[1]
        shape = (rows.shape[0], self.tokens, dim // self.tokens)  # not len(): it may be a symbol
        query, key, value = (
            (scale * (rows @ weights[name].T)).reshape(shape)
            for name, scale in (("query", math.sqrt(dim)), ("key", math.sqrt(dim)), ("value", 1.0))
        )
        attention = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(shape[2]), 2)
        return rows + (attention @ value).reshape(rows.shape)
