"""Classes of unequal size in training: `--balance`.

With n_c shots of class c of N, and pi_c = n_c / N:

    logit   the loss is that of logits + log pi, so that the logits themselves answer as if classes were equally
            frequent: logit adjustment (Menon et al., arXiv 2007.07314, with tau = 1)
    loss    the loss of a row of class c weighs N / (C n_c), C the classes that have shots: the class-balanced loss of
            Cui et al. (arXiv 1901.05555) at beta towards 1

Where all classes that have shots have as many, neither changes what is learned, and training is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from adapters.support import Support
from adapters.training.loop import cross_entropy
from adapters.training.stack_parts import Stacked

Balanced = Literal["none", "loss", "logit"]
LEAST = 0.5
"""Shots that a class is taken to have at least: one without any keeps a logit."""


class Balance(Stacked):
    """What balances the losses of G trainings; nothing, unless made by `of`.

    Attributes:
        shift: log pi (G, 1, C), or None.
        weight: of the rows of each class (G, C), or None.
    """

    state = ("shift", "weight")

    def __init__(self, *, shift: Tensor | None = None, weight: Tensor | None = None) -> None:
        self.shift, self.weight = shift, weight

    @classmethod
    def of(cls, how: str, supports: Sequence[Support], device: torch.device) -> Balance:
        """Of trainings on these supports, that all have the same `balance_of`."""
        if how == "none":
            return cls()
        counts = np.stack([np.bincount(each.labels, minlength=len(each.text)) for each in supports])
        if how == "logit":
            log_shares = np.log(np.maximum(counts, LEAST) / counts.sum(1, keepdims=True))
            return cls(shift=torch.from_numpy(log_shares).float().to(device)[:, None])
        there = (counts > 0).sum(1, keepdims=True)
        weight = counts.sum(1, keepdims=True) / (there * np.maximum(counts, 1))
        return cls(weight=torch.from_numpy(weight).float().to(device))

    def __bool__(self) -> bool:
        return self.shift is not None or self.weight is not None

    def shifted(self, logits: Tensor) -> Tensor:
        """Logits (G, B, C) as the loss takes them."""
        return logits if self.shift is None else logits + self.shift

    def of_rows(self, labels: Tensor) -> Tensor | None:
        """Weights of rows by their class codes (G, B); None: all weigh 1."""
        return None if self.weight is None else self.weight.gather(1, labels)

    def cross_entropy(self, logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `training.loop.cross_entropy`; weights of rows in the mean are multiplied with those of their classes."""
        if (own := self.of_rows(labels)) is not None:
            weights = own / labels.shape[-1] if weights is None else own * weights
        return cross_entropy(self.shifted(logits), labels, weights)


def balance_of(how: str, support: Support) -> str:
    """How a training on a support is balanced: not at all where no class has more shots than another."""
    counts = np.bincount(support.labels)
    return how if len(set(counts[counts > 0].tolist())) > 1 else "none"
