"""The attention of Meta-Adapter over a memory of supports; the equations are in `meta_adapter`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from adapters.support import Support, fold_of_rows


class Weights(NamedTuple):
    """What is learnt."""

    q_weight: Tensor
    """W_q (D, D)."""
    k_weight: Tensor
    """W_k (D, D)."""
    gate_weight: Tensor
    """w (1, D)."""
    gate_bias: Tensor
    """b (1,)."""

    @classmethod
    def initial(cls, dim: int, generator: torch.Generator) -> Weights:
        """Xavier-uniform weights, and a gate bias of 1."""
        shapes = (dim, dim), (dim, dim), (1, dim)
        query, key, gate = (
            torch.empty(shape).uniform_(-1, 1, generator=generator).mul_(math.sqrt(6 / sum(shape))) for shape in shapes
        )
        return cls(query, key, gate, torch.ones(1))


class Memory:
    """Which rows every class remembers, padded to the largest class.

    Args:
        rows: their numbers (C, K).
        present: which of them are there (C, K).
    """

    def __init__(self, rows: Tensor, present: Tensor) -> None:
        self.rows, self.present = rows, present

    @classmethod
    def of(cls, support: Support) -> Memory:
        """Every support row, in the order of the support."""
        slots = np.maximum(fold_of_rows(support.labels, support.shots), 0)
        rows = torch.zeros(len(support.classes), support.shots, dtype=torch.int64)
        present = torch.zeros(rows.shape, dtype=torch.bool)
        rows[support.labels, slots] = torch.arange(len(support.labels))
        present[support.labels, slots] = True
        return cls(rows, present)

    def push(self, rows: Tensor, labels: Tensor) -> None:
        """Put rows (B,) of classes (B,) in front, one after the other; the last of those classes drop out."""
        size = self.rows.shape[1]
        for label in set(labels.tolist()):
            new = rows[labels == label].flip(0)
            self.rows[label] = torch.cat([new, self.rows[label]])[:size]
            self.present[label] = torch.cat([self.present.new_ones(len(new)), self.present[label]])[:size]


class Attended(NamedTuple):
    """A forward pass with what its backward pass needs; leading dimensions are trainings."""

    asked: Tensor
    """W_k^T W_q t_c / sqrt(D) (..., C, D)."""
    attention: Tensor
    """a_c, of the text itself and of its K memories (..., C, 1 + K)."""
    found: Tensor
    """a_c M_c (..., C, D)."""
    gate: Tensor
    """g_c (..., C, 1)."""
    norm: Tensor
    """Norm of the adapted text before it is normalised (..., C, 1)."""
    unit: Tensor
    """The adapted class text t' (..., C, D), unit rows."""


def attend(weights: Weights, text: Tensor, rows: Tensor, present: Tensor) -> Attended:
    """Adapt class text to a memory.

    Args:
        weights: what was learnt (..., D, D) and so on.
        text: unit class text (..., C, D).
        rows: support features (..., C, K, D).
        present: which of them count (..., C, K).
    """
    asked = (text @ weights.q_weight.mT) @ weights.k_weight / math.sqrt(text.shape[-1])
    scores = (rows @ asked[..., None])[..., 0].masked_fill_(~present, -math.inf)
    own = (asked * text).sum(-1, keepdim=True)
    attention = torch.softmax(torch.cat([own, scores], -1), -1)
    found = attention[..., :1] * text + (attention[..., None, 1:] @ rows)[..., 0, :]
    gate = torch.sigmoid(text @ weights.gate_weight.mT + weights.gate_bias[..., None])
    blended = torch.addcmul(text, gate, found)
    norm = blended.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return Attended(asked, attention, found, gate, norm, blended / norm)


def attend_backward(
    gradient: Tensor, forward: Attended, weights: Weights, text: Tensor, rows: Tensor, out: Weights
) -> None:
    """Write the gradient of the weights to `out`, from the gradient (..., C, D) of the unit adapted text."""
    along = (gradient * forward.unit).sum(-1, keepdim=True)
    blended = gradient.addcmul(forward.unit, along, value=-1).div_(forward.norm)
    before_gate = (blended * forward.found).sum(-1, keepdim=True) * forward.gate * (1 - forward.gate)
    out.gate_weight.copy_(before_gate.mT @ text)
    out.gate_bias.copy_(before_gate.sum(-2))
    found = blended.mul_(forward.gate)
    of_attention = torch.cat([(found * text).sum(-1, keepdim=True), (rows @ found[..., None])[..., 0]], -1)
    mean = (of_attention * forward.attention).sum(-1, keepdim=True)
    scores = of_attention.sub_(mean).mul_(forward.attention)
    asked = (scores[..., :1] * text + (scores[..., None, 1:] @ rows)[..., 0, :]).div_(math.sqrt(text.shape[-1]))
    out.k_weight.copy_((text @ weights.q_weight.mT).mT @ asked)
    out.q_weight.copy_((asked @ weights.k_weight.mT).mT @ text)
