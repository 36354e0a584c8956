"""A rough speed from the first readable images, and defaults of the machine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featcache.datasets.load import load_dataset
from featcache.encoders.encoder import Encoder
from featcache.encoding import speed as speed_file
from featcache.encoding.speed import (
    CPU_BATCH,
    CPU_SIZES,
    GPU_BATCH,
    batch_sizes,
    default_batch_size,
    default_workers,
    fastest,
    images_per_second,
)
from featcache.errors import ModelError


class Damaged:
    def read(self, image_id: str) -> bytes:
        return b""


@pytest.mark.parametrize(("device", "batch", "most"), [("cpu", CPU_BATCH, 8), ("cuda", GPU_BATCH, 16)])
def test_defaults_follow_the_device(device: str, batch: int, most: int) -> None:
    assert default_batch_size(torch.device(device)) == batch
    assert default_workers(torch.device(device), 1) == 1
    assert default_workers(torch.device(device), 64) == most


def test_speed_is_measured_and_damage_does_not_stop_it() -> None:
    encoder, digits = Encoder.load("tiny", device="cpu"), load_dataset("digits")
    speed = images_per_second(encoder, digits.reader, digits.splits["train"].ids, batch_size=4, workers=1)
    assert np.isfinite(speed)
    assert speed > 1
    nothing = images_per_second(encoder, Damaged(), ["a", "b"], batch_size=4, workers=1)  # type: ignore[arg-type]
    assert nothing == 4.0


class Clocked:
    """An encoder whose seconds for a batch are told, and whose memory ends."""

    device, input_size = torch.device("cpu"), (2, 2)

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float]) -> None:
        self.seconds, self.now, self.tried = seconds, 0.0, list[int]()
        monkeypatch.setattr(speed_file.time, "perf_counter", lambda: self.now)

    def start_images(self, pixels: torch.Tensor) -> Clocked:
        if len(pixels) not in self.seconds:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.now += self.seconds[len(pixels)]
        self.tried.append(len(pixels))
        return self

    def result(self) -> None: ...

    def encode_images(self, pixels: torch.Tensor) -> None:
        self.start_images(pixels)


@pytest.mark.parametrize(
    ("seconds", "best", "largest"),
    [
        ({8: 1.0, 16: 1.5, 32: 2.9, 64: 5.75}, 32, 64),  # 64 is faster by less than what counts
        ({8: 1.0, 16: 1.5, 32: 2.5, 64: 4.0}, 64, 64),
        ({8: 1.0, 16: 3.2, 32: 3.3}, 8, 16),  # a call that takes so long ends the search
        ({8: 1.0, 16: 1.5}, 16, 16),  # and so does memory
    ],
)
def test_the_batch_size_that_is_fastest(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float], best: int, largest: int
) -> None:
    encoder = Clocked(monkeypatch, seconds)
    assert fastest(batch_sizes(encoder)) == best  # type: ignore[arg-type]
    assert max(encoder.tried) == largest <= max(CPU_SIZES)


def test_a_model_too_large_for_any_batch_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="not even .* fit into the memory of cpu; type --batch-size"):
        batch_sizes(Clocked(monkeypatch, {}))  # type: ignore[arg-type]
