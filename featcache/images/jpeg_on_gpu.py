"""JPEG files decoded by a GPU (nvJPEG, as torchvision offers it): fast, and not libjpeg's pixels to the bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
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
        return _by_gpu(files, device)
    except RuntimeError as error:
        _if_of_a_file(error)
    # It does not say which of them. Each alone, so that one file changes nothing of another.
    return [_alone(file, device) for file in files]


def _by_gpu(files: Sequence[torch.Tensor], device: torch.device) -> list[torch.Tensor | str]:
    pictures = decode_jpeg(list(files), mode=ImageReadMode.RGB, device=device)
    return [picture.permute(1, 2, 0) for picture in pictures]


def _alone(file: torch.Tensor, device: torch.device) -> torch.Tensor | str:
    """One file; by libjpeg, which knows more kinds of JPEG, where the GPU cannot."""
    try:
        return _by_gpu([file], device)[0]
    except RuntimeError as error:
        _if_of_a_file(error)
    try:
        image = decode(file.numpy().tobytes())
    except ImageError as error:
        return str(error)
    return torch.from_numpy(np.array(image.convert("RGB"))).to(device)


def _if_of_a_file(error: RuntimeError) -> None:
    """Raise an error again that is the GPU's and not a file's."""
    if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error):
        raise torch.OutOfMemoryError(str(error)) from error
    if "CUDA error" in str(error):
        raise error
