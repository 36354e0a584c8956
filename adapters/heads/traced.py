"""What heads that can be exported share: parts of their logits in torch operations (`adapters.abilities.Traced`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.arrays import Floats

if TYPE_CHECKING:
    from torch import Tensor


def traced_cosines(features: Tensor, text: Floats, logit_scale: float) -> Tensor:
    """Zero-shot logits (N, C): as `adapters.head.cosine_logits`, of unit features (N, D) and unit text (C, D)."""
    return logit_scale * traced_products(features, text)


def traced_products(features: Tensor, rows: Floats) -> Tensor:
    """Products (N, M) of features (N, D) with the head's rows (M, D)."""
    import torch  # which heads of NumPy alone do without until they are exported

    return features @ torch.from_numpy(rows).T


def traced_sum(features: Tensor, weight: Floats, bias: Floats) -> Tensor:
    """Logits (N, C) of a linear layer, W (C, D) and b (C,)."""
    import torch

    return traced_products(features, weight) + torch.from_numpy(bias)
