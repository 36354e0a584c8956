"""Augmented views: seeded, mirrored half of the time, half of the area or more."""

from __future__ import annotations

import pickle

import numpy as np
import torch
from PIL import Image

from featcache.images.views import ViewTransform

DRAW = ViewTransform((32, 32))


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def test_it_travels_to_worker_processes() -> None:
    assert torch.equal(pickle.loads(pickle.dumps(DRAW))(picture(), seed=1), DRAW(picture(), seed=1))


def test_views_are_seeded_and_leave_the_global_state_alone() -> None:
    state = torch.get_rng_state()
    views = [DRAW(picture(), seed=seed) for seed in (0, 1, 0)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(views[0], views[2])
    assert not torch.equal(views[0], views[1])
    assert views[0].shape == (3, 32, 32)
    assert views[0].dtype == torch.uint8
    assert not DRAW(Image.new("P", (50, 40), 0), seed=3).any()


def test_views_mirror_half_and_crop_half_or_more() -> None:
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (64, 1)))
    views = torch.stack([DRAW(ramp, seed=seed) for seed in range(200)])[:, 0] / 255
    span = views.mean(1)[:, -1] - views.mean(1)[:, 0]  # > 0 as it was, < 0 mirrored; its size is the crop's width
    assert 0.35 < (span < 0).float().mean() < 0.65
    assert 0.55 < span.abs().min() < 0.7  # width >= sqrt(0.5 * 3/4)
