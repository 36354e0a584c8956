"""What an encoder sees of a picture, in bytes; and the step from bytes to normalised numbers, done to whole batches.

An evaluation transform ends with x / 255 and (x - mean) / std, channel by channel in float32. These are done where the
encoder computes, by the same IEEE operations in the same order, so that the numbers are the transform's to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize
from torchvision.transforms.functional import pil_to_tensor


@dataclass(frozen=True)
class Resizing:
    """How a transform changes the size of a picture: so plainly that it can be done elsewhere, to the bit.

    Attributes:
        size: (height, width) of what it makes.
        filter: Pillow's: `box`, `bilinear`, `bicubic` or `lanczos`.
        crops: Whether the short side becomes `size` and the middle is kept; else both sides become it.
    """

    size: tuple[int, int]
    filter: str
    crops: bool

    @classmethod
    def of(cls, steps: Callable[[Image.Image], Image.Image]) -> Self | None:
        """What torchvision's `Resize`, perhaps with `CenterCrop`, does; None where a transform does something else."""
        resize, *rest = steps.transforms if isinstance(steps, Compose) else [steps]
        if not isinstance(resize, Resize) or resize.max_size is not None or resize.interpolation not in _FILTERS:
            return None
        name, size = resize.interpolation.value, resize.size
        if len(rest) == 2 and isinstance(rest[0], CenterCrop) and isinstance(size, int):  # the last converts to RGB
            return cls((size, size), name, True) if tuple(rest[0].size) == (size, size) else None
        if len(rest) == 1 and not isinstance(size, int) and len(size) == 2:
            return cls((size[0], size[1]), name, False)
        return None

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a picture after resizing, before cropping."""
        if not self.crops:
            return self.size
        short = self.size[0]
        return (int(short * height / width), short) if width <= height else (short, int(short * width / height))

    def corner(self, height: int, width: int) -> tuple[int, int]:
        """Top and left of what is kept of a resized picture."""
        return round((height - self.size[0]) / 2.0), round((width - self.size[1]) / 2.0)


_FILTERS = {
    InterpolationMode.BOX,
    InterpolationMode.BILINEAR,
    InterpolationMode.BICUBIC,
    InterpolationMode.LANCZOS,
}


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

    def array(self, image: Image.Image) -> np.ndarray:
        """(H, W, 3) uint8 of an image."""
        return np.asarray(self.steps(image))

    @property
    def resizing(self) -> Resizing | None:
        """How it changes the size of a picture in RGB; None where that cannot be said in a few numbers."""
        return Resizing.of(self.steps)


def normalised(pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """(B, 3, H, W) float32 of bytes (B, 3, H, W), on their device and contiguous: ((x / 255) - mean) / std.

    The divisors are tensors: by a Python number a GPU would multiply with its rounded reciprocal.
    """

    def of_channels(values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32, device=pixels.device)[:, None, None]

    scaled = pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(of_channels([255.0] * len(mean)))
    return scaled.sub_(of_channels(mean)).div_(of_channels(std))
