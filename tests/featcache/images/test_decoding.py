"""Rows become pixels in a ring of slots; what cannot be read is told."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from featcache.encoders.pixels import BytePixels
from featcache.ids import encode_ids
from featcache.images.decoding import AHEAD, DecodedPart, DecodedRows, Part, load_parts, slots_needed
from featcache.images.ring import Ring
from featcache.images.views import ViewTransform

SIZE, SQUARE = 4, 3 * 4 * 4
CPU = torch.device("cpu")


class Squares:
    """Grey pictures by number, that many pixels high; "bad" is a damaged file, "slow" takes its time."""

    def read(self, image_id: str) -> bytes | np.ndarray:
        if image_id == "slow":
            time.sleep(0.05)
        return b"" if image_id in ("bad", "slow") else np.full((int(image_id), 6), int(image_id), np.uint8)

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        return (0 for _ in ids)


def rows(
    ids: list[str],
    views: int = 0,
    *,
    whole: bool = False,
    draft: int | None = None,
    slot: int = 10_000,
    slots: int = 8,
) -> DecodedRows:
    return DecodedRows(
        Squares(),
        {"train": encode_ids(ids)},
        transform=BytePixels.of(image_transform_v2(PreprocessCfg(size=SIZE), is_train=False)),
        whole=whole,
        draft=draft,
        view_transform=ViewTransform((SIZE, SIZE)),
        views={"train": views},
        seed=0,
        ring=Ring(slots, slot),
    )


def first(start: int, stop: int) -> Part:
    """Some rows, in the first slot."""
    return Part(0, "train", range(start, stop))


@pytest.mark.parametrize("workers", [0, 2])
def test_parts_come_in_order_and_say_what_is_readable(workers: int) -> None:
    parts = [("train", range(0, 2)), ("train", range(2, 3))]
    one, second = load_parts(rows(["7", "bad", "9"]), parts, workers=workers, held=2, device=CPU)
    assert one.told.reasons == ["", "the file is empty"]
    assert (one.told.sizes, one.pixels.tolist()) == ([(SIZE, SIZE)], [7] * SQUARE)
    assert (second.told.sizes, second.pixels.tolist()) == ([(SIZE, SIZE)], [9] * SQUARE)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_slot_is_not_written_while_it_is_read(workers: int) -> None:
    held, count = 2, 40
    which = rows([str(row + 1) for row in range(count)])
    drawn: list[int] = []

    def parts() -> Iterator[tuple[str, range]]:
        for row in range(count):
            drawn.append(row)
            yield "train", range(row, row + 1)

    which.ring = Ring(slots_needed(workers, held), SQUARE)
    reading: list[DecodedPart] = []
    waited: list[int] = []
    for row, part in enumerate(load_parts(which, parts(), workers=workers, held=held, device=CPU)):
        assert len(drawn) <= row + 1 + AHEAD * workers  # no sooner than there is a slot
        part.wait = lambda row=row: waited.append(row)  # type: ignore[misc]
        reading.append(part)
        time.sleep(0.002)  # so that workers get as far ahead as they may
        for back, still in enumerate(reversed(reading[-held - 1 :])):
            assert still.pixels.unique().tolist() == [row + 1 - back]
    assert waited == list(range(count))


def test_views_depend_on_the_image_and_its_number_alone() -> None:
    alone, together = rows(["7", "9"], views=2), rows(["5", "9", "bad"], views=2)
    alone[first(1, 2)]
    assert together[first(0, 3)].sizes == [(SIZE, SIZE)] * 6
    assert torch.equal(alone.ring.slots[0, : 3 * SQUARE], together.ring.slots[0, 3 * SQUARE : 6 * SQUARE])


def test_whole_pictures_stay_as_they_are_where_they_fit() -> None:
    whole = rows(["7", "9"], whole=True)
    assert whole[first(0, 2)].sizes == [(7, 6), (9, 6)]
    assert whole.ring.slots[0, : 3 * 16 * 6].tolist() == [7] * 3 * 7 * 6 + [9] * 3 * 9 * 6
    room_for_one = 3 * 7 * 6 + SQUARE
    tight = rows(["7", "9"], whole=True, slot=room_for_one)
    assert tight[first(0, 2)].sizes == [(7, 6), (SIZE, SIZE)]
    none = rows(["7", "9"], views=1, whole=True, slot=4 * SQUARE)
    assert none[first(0, 2)].sizes == [(SIZE, SIZE)] * 4


def test_pictures_of_other_modes_are_resized_as_open_clip_resizes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    palette = Image.fromarray(np.arange(96, dtype=np.uint8).reshape(8, 12)).convert("P")
    monkeypatch.setattr(Squares, "read", lambda self, image_id: palette)
    whole = rows(["7"], whole=True)
    assert whole[first(0, 1)].sizes == [(SIZE, SIZE)]
    expected = whole._transform.array(palette)
    assert whole.ring.slots[0, :SQUARE].numpy().tobytes() == expected.tobytes()


def test_time_is_told_by_what_took_it() -> None:
    told = rows(["slow"])[first(0, 1)]
    assert told.reading > 0.04 > told.decoding
