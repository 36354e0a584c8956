"""What is left of batches of which many rows are known is encoded together."""

from __future__ import annotations

import numpy as np
import torch

from featcache.encoding import packing
from featcache.encoding.packing import packed
from featcache.images.batches import PixelBatch


def batch(unknown: int, rows: int = 4, views: int = 1) -> PixelBatch:
    known = np.arange(rows) - unknown
    pixels = torch.zeros(int((known < 0).sum()), views, 2, 2, 3, dtype=torch.uint8)
    return PixelBatch(pixels, [""] * rows, np.zeros((rows, 16), np.uint8), known=known if unknown < rows else None)


def sizes(batches: list[PixelBatch]) -> list[list[int]]:
    return [[len(one.pixels) for one in group] for group in packed(batches, 4)]


def test_as_many_as_fit_go_together_and_whole_batches_alone() -> None:
    assert sizes([batch(n) for n in (1, 2, 0, 2, 4, 4, 3, 1)]) == [[1, 2, 0], [2], [4], [4], [3, 1]]


def test_what_is_known_wholly_waits_for_nothing() -> None:
    assert sizes([batch(n) for n in (0, 0, 1, 0)]) == [[0], [0], [1, 0]]


def test_batches_of_other_views_are_not_encoded_with_them() -> None:
    assert sizes([batch(1, views=3), batch(1, views=3), batch(1)]) == [[1, 1], [1]]


def test_not_very_many_wait() -> None:
    assert max(map(len, sizes([batch(1), *[batch(0)] * 200]))) == packing.MOST_TOGETHER
