"""Bytes, and normalising them in batches: together open_clip's transform, to the bit."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from featcache.encoders.pixels import BytePixels, normalised

MODES = ("RGB", "L", "RGBA", "LA", "P", "CMYK", "1", "I;16", "YCbCr")


def picture(mode: str, size: tuple[int, int], seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise).convert("L").convert(mode) if mode == "I;16" else Image.fromarray(noise).convert(mode)


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("mode", MODES)
def test_bytes_normalised_in_batches_are_the_transform_to_the_bit(resize_mode: str, mode: str) -> None:
    config = PreprocessCfg(size=32, resize_mode=resize_mode)
    transform = image_transform_v2(config, is_train=False)
    pixels = BytePixels.of(transform)
    images = [picture(mode, size, seed) for seed, size in enumerate([(32, 32), (45, 70), (101, 33), (7, 9)])]
    batch = torch.stack([pixels(image) for image in images])
    assert batch.dtype == torch.uint8
    expected = torch.stack([transform(image) for image in images])
    assert torch.equal(normalised(batch, config.mean, config.std), expected)


def test_every_byte_is_normalised_as_by_torchvision() -> None:
    config = PreprocessCfg(size=16)
    every = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("RGB")
    transform = image_transform_v2(config, is_train=False)
    batch = BytePixels.of(transform)(every)[None]
    assert batch.unique().tolist() == list(range(256))
    assert torch.equal(normalised(batch, config.mean, config.std)[0], transform(every))


def test_it_can_be_sent_to_a_worker() -> None:
    pixels = BytePixels.of(image_transform_v2(PreprocessCfg(size=8), is_train=False))
    again = pickle.loads(pickle.dumps(pixels))
    assert torch.equal(again(picture("RGB", (9, 12), 0)), pixels(picture("RGB", (9, 12), 0)))
