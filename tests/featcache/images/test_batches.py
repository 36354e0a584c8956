"""Rows become batches of pixels; what cannot be read is told and leaves its place empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from featcache.ids import encode_ids
from featcache.images.batches import ImageRows, PixelBatch, join_parts, load_parts, split_batch
from featcache.images.views import ViewTransform

SIZE = 4


class Squares:
    """Grey squares by number; "bad" is a damaged file."""

    def read(self, image_id: str) -> bytes | np.ndarray:
        return b"" if image_id == "bad" else np.full((SIZE, SIZE), int(image_id), np.uint8)

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        return (0 for _ in ids)


def grey(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def rows(ids: list[str], parts: list[range], views: int = 0, seed: int = 0) -> ImageRows:
    return ImageRows(
        Squares(),
        {"train": encode_ids(ids)},
        [("train", part) for part in parts],
        transform=grey,
        view_transform=ViewTransform(SIZE),
        views={"train": views},
        seed=seed,
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_parts_come_in_order_and_say_what_is_readable(workers: int) -> None:
    first, second = load_parts(rows(["7", "bad", "9"], [range(0, 2), range(2, 3)]), workers=workers, pin_memory=False)
    assert first.readable.dtype == torch.bool
    assert first.readable.tolist() == [True, False]
    assert first.reasons == ["", "the file is empty"]
    assert first.pixels.shape == (2, 1, 3, SIZE, SIZE)
    assert (first.pixels[:, 0].amax((1, 2, 3)).tolist(), second.pixels.unique().tolist()) == ([7.0, 0.0], [9.0])


def test_views_depend_on_the_image_and_its_number_alone() -> None:
    alone = rows(["7", "9"], [range(1, 2)], views=2)[0]
    together = rows(["5", "9", "bad"], [range(0, 3)], views=2)[0]
    assert torch.equal(alone.pixels[0], together.pixels[1])
    assert together.pixels.shape == (3, 3, 3, SIZE, SIZE)


def test_a_part_without_a_readable_image_takes_the_shape_of_the_others() -> None:
    split = rows(["bad", "7"], [range(0, 1), range(1, 2)])
    joined = join_parts([split[0], split[1]])
    assert joined.pixels.shape == (2, 1, 3, SIZE, SIZE)
    assert (joined.readable.tolist(), len(joined.reasons)) == ([False, True], 2)
    nothing = PixelBatch(torch.zeros(1, 1, 3, 1, 1), torch.tensor([False]), ["the file is empty"])
    assert join_parts([nothing, nothing]).readable.tolist() == [False, False]


def test_large_batches_are_handed_over_in_parts() -> None:
    assert split_batch(range(8, 18), 2**18) == [range(8, 18)]
    assert split_batch(range(8, 18), 16 * 2**20) == [
        range(8, 10),
        range(10, 12),
        range(12, 14),
        range(14, 16),
        range(16, 18),
    ]
    assert split_batch(range(2), 2**40) == [range(0, 1), range(1, 2)]
