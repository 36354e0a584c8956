"""Small images made on the spot."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from featcache.datasets.dataset import Dataset


def draw_class_folders(folder: Path, *, classes: int, per_class: int, seed: int = 0) -> Path:
    """A folder of class folders with noise images, each class tinted in its own colour."""
    rng = np.random.default_rng(seed)
    for index in range(classes):
        tint = rng.integers(0, 200, size=3)
        (folder / f"class_{index}").mkdir(parents=True)
        for number in range(per_class):
            pixels = np.clip(tint + rng.integers(0, 56, size=(24, 24, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"class_{index}" / f"{number:03d}.png")
    return folder


def tiny_png(value: int) -> bytes:
    """A 2 x 2 grey PNG."""
    buffer = io.BytesIO()
    Image.new("L", (2, 2), value).save(buffer, "PNG")
    return buffer.getvalue()


def make_class_folders(root: Path, counts: Mapping[str, int], suffix: str = ".png") -> Path:
    """Class folders below `root` with so many tiny images each."""
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            (root / folder / f"{i:03d}{suffix}").write_bytes(tiny_png(i))
    return root


def split_sizes(dataset: Dataset) -> dict[str, int]:
    """Rows of each split."""
    return {name: len(split) for name, split in dataset.splits.items()}


def listing_of(dataset: Dataset) -> str:
    """The digest of ids, labels and splits: what tells one listing from another."""
    return dataset.listing_sha256
