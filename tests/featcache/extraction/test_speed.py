"""A rough speed from the first readable images, and defaults of the machine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featcache.datasets.load import load_dataset
from featcache.encoders.encoder import Encoder
from featcache.extraction.speed import CPU_BATCH, GPU_BATCH, default_batch_size, default_workers, images_per_second


class Damaged:
    def read(self, image_id: str) -> bytes:
        return b""


@pytest.mark.parametrize(("device", "batch", "most"), [("cpu", CPU_BATCH, 8), ("cuda", GPU_BATCH, 16)])
def test_defaults_follow_the_device(device: str, batch: int, most: int) -> None:
    assert default_batch_size(torch.device(device)) == batch
    assert 1 <= default_workers(torch.device(device)) <= most


def test_speed_is_measured_and_damage_does_not_stop_it() -> None:
    encoder, digits = Encoder.load("tiny", device="cpu"), load_dataset("digits")
    speed = images_per_second(encoder, digits.reader, digits.splits["train"].ids, batch_size=4, workers=1)
    assert np.isfinite(speed)
    assert speed > 1
    nothing = images_per_second(encoder, Damaged(), ["a", "b"], batch_size=4, workers=1)  # type: ignore[arg-type]
    assert nothing == 4.0
