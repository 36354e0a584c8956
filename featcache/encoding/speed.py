"""A rough measure of encoding speed, taken once when a cache is made, and defaults that depend on the machine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from featcache.datasets.readers.in_time import in_time
from featcache.errors import DataError, ModelError
from featcache.images.decode import decode

if TYPE_CHECKING:
    from featcache.datasets.dataset import Reader
    from featcache.encoders.encoder import Encoder

CPU_BATCH, GPU_BATCH = 32, 256
CPU_SIZES, GPU_SIZES = (8, 16, 32, 64), (64, 128, 256, 512, 1024)
LONGEST_CALL = 3.0  # seconds: a larger batch than one that takes so long is not tried
MEASURED = 0.3  # seconds, at least, of each size
UNDER_WAY = 3  # batches that a GPU has before it
AS_FAST = 0.98  # of the fastest: a smaller batch that does as well is better, since it needs less memory
CPU_SAMPLE = 8  # images: two or three seconds of the largest models that one would run on a CPU


def default_batch_size(device: torch.device) -> int:
    """Images encoded together: enough to fill the device, few enough for its memory."""
    return CPU_BATCH if device.type == "cpu" else GPU_BATCH


def fastest(rates: Mapping[int, float]) -> int:
    """The batch size of `batch_sizes` that encodes most images a second; of those as fast, the smallest."""
    return min(size for size, rate in rates.items() if rate >= AS_FAST * max(rates.values()))


def batch_sizes(encoder: Encoder) -> dict[int, float]:
    """Images a second at some batch sizes on this device, by a short measurement.

    A size that does not fit into the device's memory ends the search: larger ones would not either.

    Raises:
        ModelError: Not even the smallest fits.
    """
    height, width = encoder.input_size
    rates: dict[int, float] = {}
    sizes = CPU_SIZES if encoder.device.type == "cpu" else GPU_SIZES
    for size in sizes:
        try:
            seconds = _seconds_of_a_batch(encoder, torch.zeros(size, 3, height, width, dtype=torch.uint8))
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "memory" not in str(error):
                raise
            torch.cuda.empty_cache()
            break
        rates[size] = size / seconds
        if seconds > LONGEST_CALL:
            break
    if not rates:
        raise ModelError(f"not even {sizes[0]} images fit into the memory of {encoder.device}; type --batch-size 1")
    return rates


def _seconds_of_a_batch(encoder: Encoder, pixels: torch.Tensor) -> float:
    """Of encoding a batch again and again, as many under way at once as in a run."""
    there = pixels.to(encoder.device)
    encoder.encode_images(there)  # the first call allocates and chooses kernels
    pending = [encoder.start_images(there) for _ in range(UNDER_WAY - 1)]
    began, done = time.perf_counter(), 0
    while not done or time.perf_counter() - began < MEASURED:
        pending.append(encoder.start_images(there))
        pending.pop(0).result()
        done += 1
    seconds = (time.perf_counter() - began) / done
    for one in pending:
        one.result()
    return seconds


def default_workers(device: torch.device, cores: int) -> int:
    """Decoding processes: they leave a core to an encoder on the CPU, and none to a GPU, whose driver mostly waits."""
    return max(1, min(cores - 1, 8) if device.type == "cpu" else min(cores, 16))


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
            pixels.append(encoder.pixels(decode(in_time(reader.read, image_id))))
        except (DataError, OSError):
            continue  # the run itself will say so
    return pixels
