"""Parts become batches; unreadable images leave zeros; where pictures are whole, they are resized on the way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featcache.encoders.pixels import Resizing
from featcache.images.batches import Gathering
from featcache.images.decoding import DecodedPart, Told
from featcache.images.resampler import resampler
from featcache.images.resampling import resample

SIZE = (2, 3)
BYTES = 18
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def told(sizes: list[tuple[int, int]], reasons: list[str]) -> Told:
    contents = [bytes([row + 1]) * 16 if not reason else b"" for row, reason in enumerate(reasons)]
    return Told(sizes, [0] * len(sizes), reasons, contents, [-1] * len(reasons), 0.0, 0.0)


def part(values: list[int], reasons: list[str], size: tuple[int, int] = SIZE) -> DecodedPart:
    pixels = torch.cat([torch.full((3 * size[0] * size[1],), value, dtype=torch.uint8) for value in values] or [])
    return DecodedPart(pixels, told([size] * len(values), reasons))


def test_parts_are_joined_and_unreadable_images_are_zeros() -> None:
    parts = [part([5, 6, 7, 8], ["", "damaged", ""]), part([9, 1], [""])]
    batch = Gathering(torch.device("cpu"), SIZE, None).gather(parts, 4, views=1)
    assert batch.pixels.shape == (4, 2, 2, 3, 3)
    assert batch.pixels[:, :, 0, 0, 0].tolist() == [[5, 6], [0, 0], [7, 8], [9, 1]]
    assert batch.readable.tolist() == [True, False, True, True]
    assert batch.reasons == ["", "damaged", "", ""]
    assert batch.contents.tolist() == [[1] * 16, [0] * 16, [3] * 16, [1] * 16]


def test_a_part_without_a_readable_image() -> None:
    nothing = DecodedPart(torch.zeros(0, dtype=torch.uint8), told([], ["empty"]))
    batch = Gathering(torch.device("cpu"), SIZE, None).gather([nothing, part([5], [""])], 2, views=0)
    assert batch.pixels[:, 0, 0, 0, 0].tolist() == [0, 5]
    assert batch.readable.tolist() == [False, True]


def test_whole_pictures_are_resized() -> None:
    resizing = Resizing(SIZE, "bilinear", False)
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(0, 256, 3 * 50, dtype=np.uint8))
    sizes = [(5, 7), (3, 5)]
    whole = DecodedPart(pixels, told(sizes, ["", ""]))
    batch = Gathering(torch.device("cpu"), SIZE, (resample, resizing)).gather([whole], 2, views=0)
    assert torch.equal(batch.pixels[:, 0], resample(pixels, sizes, resizing))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: only it copies while it computes")
def test_a_gpu_s_batches_are_the_cpu_s() -> None:
    resizing = Resizing((32, 32), "bicubic", True)
    there = resampler(DEVICE, resizing)
    assert there is not None
    random = np.random.default_rng(0)
    for _ in range(5):
        sizes = [(int(h), int(w)) for h, w in random.integers(20, 200, (6, 2))]
        pixels = torch.from_numpy(random.integers(0, 256, sum(3 * h * w for h, w in sizes), dtype=np.uint8))
        one = DecodedPart(pixels.pin_memory(), told(sizes, [""] * 6))
        batch = Gathering(DEVICE, (32, 32), (there, resizing)).gather([one], 6, views=0)
        one.wait()
        assert torch.equal(batch.pixels[:, 0].cpu(), resample(pixels, sizes, resizing))
