"""What an encoder sees of a picture, in bytes; and the step from bytes to normalised numbers, done to whole batches.

An evaluation transform ends with x / 255 and (x - mean) / std, channel by channel in float32. These are done where the
encoder computes, by the same IEEE operations in the same order, so that the numbers are the transform's to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from PIL import Image
from torchvision.transforms import Compose, Normalize
from torchvision.transforms.functional import pil_to_tensor


@dataclass(frozen=True)
class BytePixels:
    """A transform up to where it leaves bytes.

    Attributes:
        steps: what resizes, crops and converts an image to RGB.
    """

    steps: Callable[[Image.Image], Image.Image]

    @classmethod
    def of(cls, transform: Callable[[Image.Image], torch.Tensor]) -> Self:
        """All but the last two steps of an open_clip evaluation transform: the change to a tensor, and normalising."""
        assert isinstance(transform, Compose)
        assert isinstance(transform.transforms[-1], Normalize)
        return cls(Compose(transform.transforms[:-2]))

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """(3, H, W) uint8 of an image."""
        pixels: torch.Tensor = pil_to_tensor(self.steps(image))
        return pixels


def normalised(pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """(B, 3, H, W) float32 of bytes (B, 3, H, W), on their device: ((x / 255) - mean) / std.

    The divisors are tensors: by a Python number a GPU would multiply with its rounded reciprocal.
    """

    def of_channels(values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32, device=pixels.device)[:, None, None]

    scaled = pixels.to(torch.float32).div_(of_channels([255.0] * len(mean)))
    return scaled.sub_(of_channels(mean)).div_(of_channels(std))
