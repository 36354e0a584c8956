"""Resizing and cropping on any device, equal to Pillow's pixels to the bit.

In: pictures of any sizes, (H, W, 3) uint8, one behind the other. Out: pictures of the encoder's size. Only what the
crop keeps is computed. `resampling_triton` does the same on a GPU in two launches for all pictures together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import torch
from PIL import Image

from featcache.encoders.pixels import Resizing
from featcache.images.coefficients import BITS, Coefficients, coefficients

Size = tuple[int, int]
Resample = Callable[[torch.Tensor, Sequence[Size], Resizing], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of one picture, cut down to what the crop keeps.

    Attributes:
        first: (O,) int32: the first input of each output.
        weights: (O, T) int32 in fixed point.
    """

    first: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, whole: Coefficients, start: int, outputs: int) -> Axis:
        """Outputs `start` and on of an axis."""
        kept = slice(start, start + outputs)
        return cls(whole.first[kept], whole.weights[kept])

    @property
    def needed(self) -> range:
        """The inputs that the outputs are made of."""
        return range(int(self.first[0]), int(self.first[-1]) + self.taps)

    @property
    def taps(self) -> int:
        """T, the inputs of an output."""
        return int(self.weights.shape[1])


@lru_cache(maxsize=4096)
def axes(height: int, width: int, resizing: Resizing) -> tuple[Axis, Axis, bool]:
    """The vertical and the horizontal axis of a picture, and whether the vertical one comes first."""
    new_height, new_width = resizing.resized(height, width)
    top, left = resizing.corner(new_height, new_width)
    size = resizing.size
    vertical = Axis.of(coefficients(height, new_height, resizing.filter), top, size[0])
    horizontal = Axis.of(coefficients(width, new_width, resizing.filter), left, size[1])
    return vertical, horizontal, _vertical_first((height, width), (new_height, new_width))


def _vertical_first(old: Size, new: Size) -> bool:
    """Whether Pillow resizes the height before the width, as the rules of its versions have been."""
    fewer_rows, fewer_columns = old[0] - new[0], old[1] - new[1]
    if _pillow_does((40, 12), (10, 10)):  # since 13: where that leaves less to do
        return fewer_rows > max(0, 2 * fewer_columns)
    if _pillow_does((404, 4), (10, 8)):  # since 12.2: where a picture is over 100 times as high as wide
        return fewer_rows > 0 and old[0] > 100 * old[1]
    return False


@cache
def _pillow_does(old: Size, new: Size) -> bool:
    """Whether the Pillow that is installed resizes the height first there: asked by noise, which tells the orders."""
    pixels = np.random.default_rng(0).integers(0, 256, (*old, 3), dtype=np.uint8)
    resized = np.asarray(Image.fromarray(pixels).resize(new[::-1], Image.Resampling.BICUBIC))
    picture = torch.from_numpy(pixels)[None]
    for dim in (0, 1):
        picture = _one_pass(picture, Axis.of(coefficients(old[dim], new[dim], "bicubic"), 0, new[dim]), dim + 1)
    return np.array_equal(picture[0].numpy(), resized)


def resample(pixels: torch.Tensor, sizes: Sequence[Size], resizing: Resizing) -> torch.Tensor:
    """Resize and crop pictures.

    Args:
        pixels: (bytes,) uint8: the pictures, each (H, W, 3), one behind the other.
        sizes: (height, width) of each.
        resizing: Where they go.

    Returns:
        (B, *size, 3) uint8 on the same device.
    """
    resized = pixels.new_empty(len(sizes), *resizing.size, 3)
    ends = np.cumsum([3 * height * width for height, width in sizes])
    for size in dict.fromkeys(sizes):
        members = [i for i, other in enumerate(sizes) if other == size]
        length = 3 * size[0] * size[1]
        alike = torch.stack([pixels[ends[i] - length : ends[i]].view(*size, 3) for i in members])
        resized[torch.tensor(members, device=pixels.device)] = _resample_alike(alike, resizing)
    return resized


def _resample_alike(pictures: torch.Tensor, resizing: Resizing) -> torch.Tensor:
    """(B, *size, 3) of pictures (B, H, W, 3)."""
    vertical, horizontal, vertically_first = axes(*pictures.shape[1:3], resizing)
    passes = [(1, vertical), (2, horizontal)] if vertically_first else [(2, horizontal), (1, vertical)]
    for dim, axis in passes:
        pictures = _one_pass(pictures, axis, dim)
    return pictures


def _one_pass(pictures: torch.Tensor, axis: Axis, dim: int) -> torch.Tensor:
    first = torch.from_numpy(axis.first).to(pictures.device)
    weights = torch.from_numpy(axis.weights).to(pictures.device)
    shape = list(pictures.shape)
    shape[dim] = len(first)
    total = torch.full(shape, 1 << (BITS - 1), dtype=torch.int32, device=pictures.device)
    along = [1] * pictures.ndim
    along[dim] = -1
    for tap in range(weights.shape[1]):
        total += pictures.index_select(dim, first + tap).int() * weights[:, tap].view(along)
    return (total >> BITS).clamp_(0, 255).to(torch.uint8)
