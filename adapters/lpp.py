"""LP++: a linear probe blended with zero-shot, class by class, with step sizes from the data.

    logits_c = w_c f + b_c + alpha_c (f t_c)            unit f (D,) and t_c (D,), no temperature

    start       w_c = sum of class c's support features,  alpha_c = 250 mean_c mean_{i in c} f_i t_c  (one for all)
    step sizes  of w and b: 4N / largest eigenvalue of F^T F, with momentum 0.9
                of alpha: N / (4 max_c sum_i (f_i t_c)^2), plain, every 10th epoch

in full-batch epochs of cross-entropy; F (N, D) is the support, w (C, D), b (C,), alpha (C,).
Source: Huang et al., LP++ (arXiv 2404.02285), as its released code runs: the start is the sum, not the mean; the
gradient of alpha is never reset, so that its steps take the sum of all gradients so far; the support is one augmented
view (the first one here). One thing differs: b starts at 0, not at a PyTorch layer's random draw around 0, so that
neither a seed nor the order of the classes matters.

The authors keep the epoch that is best on a few validation shots. `fit` has none and keeps the last one; `tuned`
chooses the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from adapters.arrays import Floats, Support
from adapters.base import Head, Rows, require
from adapters.held_out import held_out_splits
from adapters.training import SGD, cross_entropy, products, resolve_device, threads_for

ALPHA_SCALE = 250.0
"""The first alpha over the mean cosine of a row to its class text."""
ALPHA_EPOCHS = 10
"""Epochs between steps of alpha."""
MOMENTUM = 0.9
FOLDS = 4
"""Folds over the shots when `tuned` has only the support."""


class BlendedProbe:
    """The state of one training: parameters, step sizes and what stays fixed.

    Args:
        features: unit support rows F (N, D).
        labels: class codes (N,).
        text: unit class text (C, D).
        bias: b at the start (C,).

    Attributes:
        layer: w and b in one (C, D + 1).
        alpha: (C,).
        lr: step size of w and b.
        lr_alpha: step size of alpha.
    """

    def __init__(self, features: Tensor, labels: Tensor, text: Tensor, bias: Tensor) -> None:
        classes, rows = len(text), len(labels)
        self.labels = labels
        self.features = torch.cat([features, features.new_ones(rows, 1)], 1)
        self.cosines = features @ text.T
        sums = torch.zeros_like(text).index_add_(0, labels, features)
        self.layer = torch.cat([sums, bias[:, None]], 1)
        own = (sums * text).sum(1) / torch.bincount(labels, minlength=classes)  # NaN for a class without rows
        self.alpha = (ALPHA_SCALE * own.nanmean()).repeat(classes)
        gram = features @ features.T if rows < features.shape[1] else features.T @ features
        largest = float(torch.linalg.eigvalsh(gram)[-1])
        self.lr = 4 * rows / max(largest, 1e-12)  # both are 0 only where all features are
        self.lr_alpha = rows / (4 * max(float(self.cosines.square().sum(0).max()), 1e-12))

    def train(self, epochs: int) -> Iterator[Tensor]:
        """Train for a number of epochs; after each one yields the loss before it. Gradients are written out by hand."""
        optimizer = SGD([self.layer], momentum=MOMENTUM, weight_decay=0)
        gradients = torch.zeros_like(self.alpha)
        for epoch in range(1, epochs + 1):
            logits = (self.cosines * self.alpha).addmm_(self.features, self.layer.T)
            loss, gradient = cross_entropy(logits, self.labels)
            optimizer.step([(gradient.T, self.features)], self.lr)
            gradients.add_(gradient.mul_(self.cosines).sum(0))
            if epoch % ALPHA_EPOCHS == 0:
                self.alpha.add_(gradients, alpha=-self.lr_alpha)
            yield loss


class LinearProbePlusPlus(Head):
    """LP++ with the released recipe as defaults, but for the choice of the epoch.

    Args:
        epochs: full-batch epochs; what `tuned` chooses, up to the number given.
        device: auto, cpu, cuda or mps.

    Attributes:
        weight_: w (C, D).
        bias_: b (C,).
        alpha_: weight of the class text (C,).
        losses_: training loss of every epoch; not saved.
    """

    method: ClassVar[str] = "lp++"
    source: ClassVar[str] = "LP++, arXiv 2404.02285"
    trains: ClassVar[str] = "a linear layer and a text weight a class"
    needs: ClassVar[str] = "text; one view used if there"
    learned: ClassVar[tuple[str, ...]] = ("weight_", "bias_", "alpha_")

    weight_: Floats
    bias_: Floats
    alpha_: Floats

    def __init__(self, *, epochs: int = 300, device: str = "auto") -> None:
        self.epochs = epochs
        self.device = device

    def _check_parameters(self) -> None:
        require(self.epochs >= 0, "epochs", self.epochs, "0 or more")

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return classes * (dim + 2)

    def _probe(self, support: Support) -> BlendedProbe:
        device = resolve_device(self.device)
        rows, labels, text = (
            torch.from_numpy(array).to(device)
            for array in (np.ascontiguousarray(support.unit_views[:, 0]), support.labels, support.text)
        )
        return BlendedProbe(rows, labels, text, torch.zeros(len(text), device=device))

    def _fit(self, support: Support) -> None:
        with threads_for(products(len(support.labels), *support.text.shape)):
            probe = self._probe(support)
            losses = list(probe.train(self.epochs))
        self.losses_ = torch.stack(losses).cpu().numpy() if losses else np.zeros(0, dtype=np.float32)
        layer = probe.layer.cpu().numpy()
        self.weight_, self.bias_ = layer[:, :-1].copy(), layer[:, -1].copy()
        self.alpha_ = probe.alpha.cpu().numpy()

    def _logits(self, features: Floats) -> Floats:
        return features @ (self.weight_ + self.alpha_[:, None] * self.text_).T + self.bias_

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Count right answers after every epoch of one training, or of one a fold; the last of the best is kept."""
        right = np.zeros(self.epochs, dtype=np.int64)
        for kept, out in held_out_splits(support, rows, FOLDS):
            right += self._right(kept, out)
        if self.epochs:
            head.set_params(epochs=int(np.flatnonzero(right == right.max())[-1]) + 1)
        return head

    def _right(self, support: Support, rows: Rows) -> list[int]:
        """Right answers on some rows after every epoch."""
        right = []
        with threads_for(products(max(len(support.labels), len(rows.labels)), *support.text.shape)):
            probe = self._probe(support)
            device = probe.alpha.device
            text, features, labels = (
                torch.from_numpy(a).to(device) for a in (support.text, rows.features, rows.labels)
            )
            for _ in probe.train(self.epochs):
                classes = probe.layer[:, :-1].addcmul(text, probe.alpha[:, None])
                logits = torch.addmm(probe.layer[:, -1], features, classes.T)
                right.append(int((logits.argmax(1) == labels).sum()))
        return right
