"""The attention of Meta-Adapter over a memory of supports, and its training; the equations are in `meta_adapter`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from adapters.arrays import Support, fold_of_rows
from adapters.training import AdamW


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
    """The support features of every class, padded to the largest class.

    Args:
        rows: unit features (C, K, D).
        present: which of them are there (C, K).
    """

    def __init__(self, rows: Tensor, present: Tensor) -> None:
        self.rows, self.present = rows, present

    @classmethod
    def of(cls, support: Support, device: torch.device) -> Memory:
        """The means of the views of every support row, in the order of the support."""
        slots = slots_of(support)
        rows = torch.zeros(len(support.classes), support.shots, support.text.shape[1])
        present = torch.zeros(rows.shape[:2], dtype=torch.bool)
        rows[support.labels, slots] = torch.from_numpy(support.means)
        present[support.labels, slots] = True
        return cls(rows.to(device), present.to(device))

    def without(self, slots: Tensor) -> Tensor:
        """Which rows are left (C, K) when those of some slots are hidden, in every class."""
        left = self.present.clone()
        left[:, slots] = False
        return left

    def push(self, features: Tensor, labels: Tensor) -> None:
        """Put features (B, D) of classes (B,) in front, one after the other; the last of those classes drop out."""
        size = self.rows.shape[1]
        for label in set(labels.tolist()):
            new = features[labels == label].flip(0)
            self.rows[label] = torch.cat([new, self.rows[label]])[:size]
            self.present[label] = torch.cat([self.present.new_ones(len(new)), self.present[label]])[:size]


class Step(NamedTuple):
    """One training step: row numbers (B,) of one of the sets, and the slots hidden from its memory."""

    data: int
    rows: Tensor
    hidden: Tensor


class MetaSet(NamedTuple):
    """One set of base classes on the device."""

    views: Tensor
    """Unit features (N, V, D)."""
    labels: Tensor
    """Class codes (N,)."""
    text: Tensor
    """Unit class text (C, D)."""
    memory: Memory

    @classmethod
    def of(cls, support: Support, device: torch.device) -> MetaSet:
        """A support as base data and as its own memory."""
        views, labels, text = (
            torch.from_numpy(array).to(device) for array in (support.unit_views, support.labels, support.text)
        )
        return cls(views, labels, text, Memory.of(support, device))


def slots_of(support: Support) -> NDArray[np.int64]:
    """The place (N,) of every row in its class's memory."""
    return np.maximum(fold_of_rows(support.labels, support.shots), 0)


def adapted_text(weights: Weights, text: Tensor, rows: Tensor, present: Tensor) -> Tensor:
    """The adapted class text t' (C, D), unit rows.

    Args:
        weights: what was learnt.
        text: unit class text (C, D).
        rows: support features (C, K, D).
        present: which of them count (C, K).
    """
    asked = (text @ weights.q_weight.T) @ weights.k_weight / math.sqrt(text.shape[1])
    scores = torch.bmm(rows, asked[:, :, None])[:, :, 0].masked_fill(~present, -math.inf)
    own = (asked * text).sum(1, keepdim=True)
    attention = torch.softmax(torch.cat([own, scores], 1), 1)
    found = attention[:, :1] * text + torch.bmm(attention[:, None, 1:], rows)[:, 0]
    gate = torch.sigmoid(text @ weights.gate_weight.T + weights.gate_bias)
    return normalize(text + gate * found, dim=1)


def meta_train(
    weights: Weights,
    sets: Sequence[MetaSet],
    steps: Sequence[tuple[Step, int]],
    *,
    fifo: bool,
    rates: Sequence[float],
    logit_scale: float = 100.0,
    weight_decay: float = 0.01,
    eps: float = 1e-4,
) -> Tensor:
    """Train the weights in place by cross-entropy over all classes of a step's set.

    Args:
        weights: updated.
        sets: base data; with `fifo` their memories are updated too.
        steps: every step, and the view that it sees.
        fifo: push every batch into the memory after its step, as the released code does.
        rates: learning rate of every step.
        logit_scale: s.
        weight_decay: of AdamW.
        eps: of AdamW.

    Returns:
        The loss before every update (steps,).
    """
    optimizers = [AdamW(weight, weight_decay=weight_decay, eps=eps) for weight in weights]
    losses = torch.zeros(len(steps))
    for number, ((step, view), rate) in enumerate(zip(steps, rates, strict=True)):
        data = sets[step.data]
        features, labels = data.views[step.rows, view], data.labels[step.rows]
        leaves = Weights(*(weight.detach().requires_grad_() for weight in weights))
        with torch.enable_grad():
            text = adapted_text(leaves, data.text, data.memory.rows, data.memory.without(step.hidden))
            loss = cross_entropy(logit_scale * (features @ text.T), labels)
        losses[number] = loss.detach()
        for optimizer, gradient in zip(optimizers, torch.autograd.grad(loss, leaves), strict=True):
            optimizer.step(gradient, rate)
        if fifo:
            data.memory.push(features, labels)
    return losses
