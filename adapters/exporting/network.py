"""A head as one network: from features, or from pixels by its encoder, to logits and probabilities."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from adapters.abilities import Traced

SMALLEST = 1e-30
"""Least norm that a row is divided by: a row of zeros stays one, as `adapters.arrays.unit` leaves it."""


class HeadNetwork(nn.Module):
    """What `adapters predict` computes, in torch operations.

    Args:
        head: fitted.
        temperature: what probabilities divide logits by.
        images: from pixels to embeddings; None: features are given.
        stored: how the cache keeps embeddings, to which those of `images` are rounded.
    """

    def __init__(self, head: Traced, *, temperature: float, images: nn.Module | None, stored: torch.dtype) -> None:
        super().__init__()
        self.head, self.temperature, self.images, self.stored = head, temperature, images, stored

    def forward(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and probabilities, both (N, C), of features (N, D), raw or unit, or of what `images` takes."""
        features = given if self.images is None else self.images(given).to(self.stored).to(torch.float32)
        logits = self.head.traced_logits(normalize(features, dim=1, eps=SMALLEST))
        return logits, torch.softmax(logits / self.temperature, 1)
