"""JPEG files decoded by a GPU (nvJPEG, as torchvision offers it): fast, and not libjpeg's pixels to the bit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torchvision.io import ImageReadMode, decode_jpeg

from featcache.errors import ImageError
from featcache.images.decode import decode


def decoded(files: Sequence[torch.Tensor], device: torch.device) -> list[torch.Tensor | str]:
    """(H, W, 3) uint8 pixels on the device of each file, or why there are none.

    Args:
        files: (bytes,) uint8 each.
        device: A CUDA device.
    """
    try:
        pictures = decode_jpeg(list(files), mode=ImageReadMode.RGB, device=device)
    except RuntimeError:  # it does not say which of them, nor does it know every kind of JPEG that libjpeg does
        return [_one(file, device) for file in files]
    return [picture.permute(1, 2, 0) for picture in pictures]


def _one(file: torch.Tensor, device: torch.device) -> torch.Tensor | str:
    import numpy as np

    try:
        image = decode(file.numpy().tobytes())
    except ImageError as error:
        return str(error)
    return torch.from_numpy(np.array(image.convert("RGB"))).to(device)
