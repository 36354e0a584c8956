"""Parts are small enough that slots of memory stay small, whatever pictures and views there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from featcache.ids import encode_ids
from featcache.images.parts import PART_BYTES, WHOLE_ROWS, Parts, bytes_of_a_picture

SQUARE = (100, 100)
BYTES = 30_000


class Pictures:
    """Grey pictures as many pixels wide as their name says, and 1,000 high; "bad" is damaged."""

    def read(self, image_id: str) -> bytes | np.ndarray:
        return b"" if image_id == "bad" else np.zeros((1000, int(image_id)), np.uint8)

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        return (0 for _ in ids)


def parts(width: str = "9", views: int = 0, batch_size: int = 256, *, whole: bool) -> Parts:
    ids = {"train": encode_ids([width] * 20)}
    return Parts.of(Pictures(), ids, {"train": views}, SQUARE, batch_size, whole=whole)


def test_a_batch_is_one_part_where_that_is_small() -> None:
    small = parts(whole=False)
    assert small.cut("train", range(8, 264)) == [range(8, 264)]
    assert small.slot_bytes == 256 * BYTES


def test_many_views_make_small_parts() -> None:
    many = parts(views=500, whole=False)
    (rows,) = many.rows.values()
    assert rows == PART_BYTES // (501 * BYTES)
    assert [len(part) for part in many.cut("train", range(5))] == [2, 2, 1]
    enormous = parts(views=10_000, whole=False)
    assert (enormous.rows["train"], enormous.slot_bytes) == (1, 10_001 * BYTES)


@pytest.mark.parametrize(("width", "rows"), [("9", WHOLE_ROWS), ("1000", 11), ("20000", 1)])
def test_whole_pictures_get_slots_by_their_size(width: str, rows: int) -> None:
    found = parts(width, whole=True)
    assert found.rows == {"train": rows}
    assert rows * BYTES <= found.slot_bytes <= PART_BYTES


def test_a_picture_s_size_is_an_average_of_those_that_can_be_read() -> None:
    assert bytes_of_a_picture(Pictures(), encode_ids(["10", "bad", "30"])) == 3 * 1000 * 20
    assert bytes_of_a_picture(Pictures(), encode_ids(["bad"])) == 0
