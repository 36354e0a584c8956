"""Who resizes on a device: kernels, plain torch, or nobody, where Pillow is faster or differs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import torch
from PIL import Image

from featcache.encoders.device import current
from featcache.encoders.pixels import Resizing
from featcache.images.resampling import Resample, resample


def resampler(device: torch.device, resizing: Resizing) -> Resample | None:
    """What resizes on that device, equal to the installed Pillow; None where Pillow itself is faster or differs."""
    if device.type != "cuda":
        return None
    for found in _candidates():
        try:
            equal = equals_pillow(found, device, resizing)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:  # Triton needs a C compiler, which small images of systems lack
            continue
        if equal:
            return found
    return None


def _candidates() -> Iterator[Resample]:
    """The fastest first."""
    with suppress(ImportError):  # Triton is not built for every system that has CUDA
        from featcache.images import resampling_triton

        yield resampling_triton.resample
    yield resample


def equals_pillow(resample: Resample, device: torch.device, resizing: Resizing) -> bool:
    """Whether pictures of a few sizes come out as Pillow's, to the bit."""
    random = np.random.default_rng(0)
    height, width = resizing.size
    sizes = [(2 * height + 3, 3 * width), (height + 40, width + 1), (height // 2 + 1, width), (7, 9), resizing.size]
    pictures = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    flat = torch.from_numpy(np.concatenate([picture.ravel() for picture in pictures])).to(device)
    with current(device):
        got = resample(flat, sizes, resizing).cpu().numpy()
    expected = np.stack([_by_pillow(picture, resizing) for picture in pictures])
    return np.array_equal(got, expected)


def _by_pillow(pixels: np.ndarray, resizing: Resizing) -> np.ndarray:
    rows, columns = resizing.resized(*pixels.shape[:2])
    resized = Image.fromarray(pixels).resize((columns, rows), Image.Resampling[resizing.filter.upper()])
    top, left = resizing.corner(rows, columns)
    return np.asarray(resized)[top : top + resizing.size[0], left : left + resizing.size[1]]
