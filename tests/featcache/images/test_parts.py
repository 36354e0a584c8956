"""Parts are small enough that slots of memory stay small, whatever pictures and views there are."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from PIL import Image

from featcache.ids import encode_ids
from featcache.images.parts import PART_BYTES, WHOLE_BYTES, WHOLE_ROWS, Content, Parts

SQUARE = (100, 100)
BYTES = 30_000


class Pictures:
    """Grey pictures as many pixels wide as their name says, and 1,000 high; "bad" is damaged."""

    def read(self, image_id: str) -> bytes | np.ndarray:
        return b"" if image_id == "bad" else np.zeros((1000, int(image_id)), np.uint8)

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        return (0 for _ in ids)


def parts(content: Content, width: str = "9", views: int = 0) -> Parts:
    ids = {"train": encode_ids(["bad", *[width] * 20])}
    return Parts.of(Pictures(), ids, {"train": views}, SQUARE, 256, content)


def test_a_batch_is_one_part_where_that_is_small() -> None:
    small = parts("squares")
    assert small.cut("train", range(8, 264)) == [range(8, 264)]
    assert small.slot_bytes == 256 * BYTES


def test_many_views_make_small_parts() -> None:
    many = parts("squares", views=500)
    (rows,) = many.rows.values()
    assert rows == PART_BYTES // (501 * BYTES)
    assert [len(part) for part in many.cut("train", range(5))] == [2, 2, 1]
    enormous = parts("squares", views=10_000)
    assert (enormous.rows["train"], enormous.slot_bytes) == (1, 10_001 * BYTES)


@pytest.mark.parametrize(("width", "rows"), [("9", WHOLE_ROWS), ("1000", 6), ("20000", 1)])
def test_whole_pictures_get_slots_by_their_size(width: str, rows: int) -> None:
    found = parts("pixels", width)
    assert found.rows == {"train": rows}
    assert rows * BYTES <= found.slot_bytes <= WHOLE_BYTES


def test_files_get_slots_by_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (900, 600)).save(stream, "JPEG")
    monkeypatch.setattr(Pictures, "read", lambda self, image_id: stream.getvalue())
    assert len(stream.getvalue()) < BYTES
    assert parts("files") == Parts({"train": WHOLE_ROWS}, WHOLE_ROWS * BYTES)
