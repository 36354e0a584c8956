"""The last matrix of an image tower, taken off: what is before it, and the matrices that lead to the embedding."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from featcache.errors import ModelError


class Projection(NamedTuple):
    """From a tower's last features x (P,) to an embedding f = x W + b (D,)."""

    weight: torch.Tensor
    """W (P, D)."""
    bias: torch.Tensor | None
    """b (D,); None where there is none."""

    def apply(self, features: torch.Tensor) -> torch.Tensor:
        """Embeddings (B, D) of features (B, P): the operation that the tower ends with, bit for bit."""
        if self.bias is None:
            return features @ self.weight
        return nn.functional.linear(features, self.weight.T, self.bias)


def take_off(tower: nn.Module, architecture: str) -> Projection:
    """Take the last projection off an image tower of open_clip, which from then on gives what is before it.

    A vision transformer ends with a matrix `proj`; a ResNet ends with attention pooling, whose output projection
    becomes the identity, which changes no bit of what goes in.

    Raises:
        ModelError: The tower ends in another way.
    """
    proj, pooling = getattr(tower, "proj", None), getattr(tower, "attnpool", None)
    if isinstance(proj, nn.Parameter):
        setattr(tower, "proj", None)  # noqa: B010  # a registered parameter, which the tower asks for
        return Projection(proj.detach(), None)
    if pooling is not None and isinstance(pooling.c_proj, nn.Linear):
        last = pooling.c_proj
        same = nn.Linear(last.in_features, last.in_features).to(last.weight)
        with torch.no_grad():
            same.weight.copy_(torch.eye(last.in_features))
            same.bias.zero_()
        pooling.c_proj = same.requires_grad_(False)
        return Projection(last.weight.detach().T, last.bias.detach())
    raise ModelError(f"the image tower of {architecture} does not end with a matrix that can be kept: leave --keep out")


def text_projection(model: nn.Module) -> torch.Tensor | None:
    """The matrix (E, D) that a text tower ends with; None where it ends in another way."""
    found = getattr(getattr(model, "text", model), "text_projection", None)
    if isinstance(found, nn.Linear) and found.bias is None:
        return found.weight.detach().T
    return found.detach() if isinstance(found, nn.Parameter) else None
