"""The image tower as a network that takes bytes: what other runtimes are given."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from featcache.encoders.pixels import normalised


class ImageNetwork(nn.Module):
    """From pixels as `BytePixels.array` makes them to raw embeddings.

    Args:
        tower: from normalised pixels (N, 3, H, W) to embeddings (N, D), or to these and more.
        mean: (3,) of its normalisation.
        std: (3,) likewise.
    """

    def __init__(self, tower: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.tower, self.mean, self.std = tower, tuple(mean), tuple(std)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embeddings (N, D), not normalised, of bytes (N, H, W, 3)."""
        found: Tensor | tuple[Tensor, ...] = self.tower(normalised(pixels.permute(0, 3, 1, 2), self.mean, self.std))
        return found[0] if isinstance(found, tuple) else found  # CoCa's gives its tokens too
