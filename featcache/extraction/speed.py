"""A rough measure of encoding speed, taken once when a cache is made, and defaults that depend on the machine."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from featcache.errors import DataError
from featcache.images.decode import decode

if TYPE_CHECKING:
    from featcache.datasets.dataset import Reader
    from featcache.encoders.encoder import Encoder

CPU_BATCH, GPU_BATCH = 32, 256
CPU_SAMPLE = 8  # images: two or three seconds of the largest models that one would run on a CPU


def default_batch_size(device: torch.device) -> int:
    """Images encoded together: enough to fill the device, few enough for its memory."""
    return CPU_BATCH if device.type == "cpu" else GPU_BATCH


def default_workers(device: torch.device) -> int:
    """Decoding processes: one core fewer than there are; a GPU eats more than a CPU does."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, min(cores - 1, 8 if device.type == "cpu" else 16))


def images_per_second(encoder: Encoder, reader: Reader, ids: Sequence[str], *, batch_size: int, workers: int) -> float:
    """Measure decoding and encoding on the first readable images.

    On a CPU both compete for the cores, so their times add; decoding is shared by the workers.
    """
    count = min(batch_size, CPU_SAMPLE) if encoder.device.type == "cpu" else batch_size
    began = time.perf_counter()
    pixels = _decode_some(encoder, reader, ids, count)
    if not pixels:
        return float(batch_size)
    decoding = (time.perf_counter() - began) / len(pixels)
    batch = torch.stack((pixels * count)[:count])
    encoder.encode_images(batch)  # the first call allocates and chooses kernels
    began = time.perf_counter()
    encoder.encode_images(batch)
    encoding = (time.perf_counter() - began) / count
    return 1.0 / (decoding / max(workers, 1) + encoding)


def _decode_some(encoder: Encoder, reader: Reader, ids: Sequence[str], count: int) -> list[torch.Tensor]:
    pixels = []
    for image_id in ids[:count]:
        try:
            pixels.append(encoder.pixels(decode(reader.read(image_id))))
        except (DataError, OSError):
            continue  # the run itself will say so
    return pixels
