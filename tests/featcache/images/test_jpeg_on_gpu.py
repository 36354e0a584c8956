"""JPEGs decoded by a GPU: near libjpeg's pixels; a damaged file among them is told and the others come."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from featcache.images.jpeg_on_gpu import decoded

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: only it decodes JPEGs itself")


def file(seed: int, *, keep: float = 1.0, **how: object) -> torch.Tensor:
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 9, 3), dtype=np.uint8))
    stream = io.BytesIO()
    coarse.resize((90, 60), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90, **how)
    raw = stream.getvalue()
    return torch.frombuffer(bytearray(raw[: int(keep * len(raw))]), dtype=torch.uint8)


def test_pixels_are_near_libjpeg_s() -> None:
    files = [file(0, subsampling=0), file(1, progressive=True, subsampling=0)]
    for given, got in zip(files, decoded(files, torch.device("cuda")), strict=True):
        assert isinstance(got, torch.Tensor)
        expected = np.asarray(Image.open(io.BytesIO(given.numpy().tobytes())), np.float32)
        assert np.abs(got.cpu().numpy().astype(np.float32) - expected).mean() < 4


def test_a_file_that_is_no_jpeg_is_told_and_the_others_come() -> None:
    noise = torch.zeros(100, dtype=torch.uint8)
    first, second = decoded([file(0), noise], torch.device("cuda"))
    assert isinstance(first, torch.Tensor)
    assert isinstance(second, str)
