"""Small images made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


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
