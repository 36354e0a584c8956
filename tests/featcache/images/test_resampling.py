"""Resizing in integers against Pillow and torchvision: every pixel equal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from featcache.encoders.pixels import BytePixels, Resizing
from featcache.images import resampling
from featcache.images.resampler import equals_pillow, resampler
from featcache.images.resampling import Resample, resample

MODES = [
    InterpolationMode.BOX,
    InterpolationMode.BILINEAR,
    InterpolationMode.BICUBIC,
    InterpolationMode.LANCZOS,
]
HERE = torch.device("cpu")


def as_it_is(image: Image.Image) -> Image.Image:
    return image


def differing(resample: Resample, draws: int, longest: int, largest: int, device: torch.device) -> int:
    """Of pictures of random sizes and ratios, six each of `draws` random transforms, those that are not Pillow's."""
    random, bad = np.random.default_rng(draws), 0
    for _ in range(draws):
        mode, side, other = (
            MODES[random.integers(4)],
            int(random.integers(7, largest)),
            int(random.integers(7, largest)),
        )
        crop = [Resize(side, interpolation=mode), CenterCrop(side), as_it_is]
        squash = [Resize((side, other), interpolation=mode), as_it_is]
        steps = Compose(crop if random.random() < 0.5 else squash)
        resizing = Resizing.of(steps)
        assert resizing is not None
        sizes = [(int(h), int(w)) for h, w in random.integers(1, longest, (6, 2))]
        sizes[5] = sizes[0]
        pictures = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
        flat = torch.from_numpy(np.concatenate([picture.ravel() for picture in pictures])).to(device)
        got = resample(flat, sizes, resizing).cpu().numpy()
        expected = np.stack([np.asarray(steps(Image.fromarray(picture))) for picture in pictures])
        bad += int((got != expected).any((1, 2, 3)).sum())
    return bad


def test_thousands_of_random_resizes_are_pillow_s_to_the_bit() -> None:
    assert differing(resample, 350, 160, 80, HERE) == 0


def test_another_order_of_the_passes_would_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    order = resampling._vertical_first
    monkeypatch.setattr(resampling, "_vertical_first", lambda old, new: not order(old, new))
    resampling.axes.cache_clear()
    try:
        assert differing(resample, 10, 200, 80, HERE) > 0
        assert not equals_pillow(resample, HERE, Resizing((32, 32), "bicubic", False))
    finally:
        resampling.axes.cache_clear()


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Resample, torch.device]]:
    """The kernels of a GPU: there, or interpreted on a CPU."""
    pytest.importorskip("triton")
    name = "featcache.images.resampling_triton"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
        sys.modules.pop(name, None)
    yield import_module(name).resample, device
    if device.type == "cpu":
        sys.modules.pop(name, None)


def test_the_kernels_of_a_gpu_are_pillow_s_too(on_a_gpu: tuple[Resample, torch.device]) -> None:
    there, device = on_a_gpu
    longest, largest, draws = (60, 20, 6) if device.type == "cpu" else (700, 300, 100)
    assert differing(there, draws, longest, largest, device) == 0
    assert equals_pillow(there, device, Resizing((16, 16), "bicubic", True))


@pytest.mark.parametrize("resize_mode", ["shortest", "squash"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_it_is_what_open_clip_s_transform_does(resize_mode: str, mode: str) -> None:
    pixels = BytePixels.of(image_transform_v2(PreprocessCfg(size=32, resize_mode=resize_mode), is_train=False))
    assert pixels.resizing is not None
    random = np.random.default_rng(0)
    for size in [(32, 32), (45, 70), (101, 33), (7, 9)]:
        image = Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).convert(mode)
        whole = torch.from_numpy(np.array(image.convert("RGB")).ravel())
        assert np.array_equal(resample(whole, [size], pixels.resizing)[0].numpy(), pixels.array(image))


@pytest.mark.parametrize(
    "steps",
    [
        [Resize(8, interpolation=InterpolationMode.NEAREST), CenterCrop(8), as_it_is],
        [Resize(8, max_size=9), CenterCrop(8), as_it_is],
        [Resize(8), CenterCrop(6), as_it_is],
        [Resize(8), as_it_is],
        [as_it_is],
    ],
)
def test_other_transforms_are_left_to_pillow(steps: list[Callable[[Image.Image], Image.Image]]) -> None:
    assert Resizing.of(Compose(steps)) is None


def test_a_cpu_leaves_it_to_pillow_which_is_faster() -> None:
    assert resampler(HERE, Resizing((8, 8), "bicubic", True)) is None
