"""How batches are cut into parts: what one worker decodes at a time, into one slot of memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from featcache.datasets.readers.in_time import in_time
from featcache.errors import DataError
from featcache.ids import decode_ids
from featcache.images.decode import Reads, decode

PART_BYTES = 40 * 2**20
"""Of pixels in a part, about: 256 images of 224 x 224 without views."""
WHOLE_BYTES = 24 * 2**20
"""The same of whole pictures: their slots are page-locked, which takes a second for two GiB."""
WHOLE_ROWS = 64
"""Rows of a part of whole pictures, at most: more would only make the first batch wait."""
ROOM = 1.25
"""Of a slot, for pictures that are larger than the average."""
SAMPLE = 8
"""Pictures of a split that are opened to learn how large its pictures are."""


Content = Literal["squares", "pixels", "files"]


@dataclass(frozen=True)
class Parts:
    """Sizes of parts and of the slots that hold them.

    Attributes:
        rows: Of each split's parts, at most.
        slot_bytes: What a slot has to hold.
    """

    rows: Mapping[str, int]
    slot_bytes: int

    @classmethod
    def of(
        cls,
        reader: Reads,
        ids: Mapping[str, Sequence[Any] | np.ndarray],
        views: Mapping[str, int],
        size: tuple[int, int],
        batch_size: int,
        content: Content,
    ) -> Self:
        """Parts of about `PART_BYTES`, of fewer where pictures are whole.

        Args:
            reader: Reads an image by its id.
            ids: (N, W) uint8 ids of each split, or what else the reader is asked for.
            views: V of each split.
            size: (height, width) of the encoder's input.
            batch_size: Rows encoded together; a part is never more.
            content: What a slot holds: pictures of the encoder's size; whole ones, or their files: then a few are
                opened to see how large they are.
        """
        whole, most_bytes = content != "squares", PART_BYTES if content == "squares" else WHOLE_BYTES
        square, rows, slot_bytes = 3 * size[0] * size[1], {}, 0
        for split, listing in ids.items():
            of_views = views.get(split, 0) * square
            picture = max(square, int(ROOM * _bytes_of_a_picture(reader, listing, content))) if whole else square
            most = min(batch_size, WHOLE_ROWS) if whole else batch_size
            rows[split] = max(1, min(most, most_bytes // (picture + of_views)))
            wanted = min(rows[split] * (picture + of_views), most_bytes)
            slot_bytes = max(slot_bytes, wanted, rows[split] * (square + of_views))
        return cls(rows, slot_bytes)

    def cut(self, split: str, rows: Sequence[Any]) -> list[Sequence[Any]]:
        """A batch in parts."""
        step = self.rows[split]
        return [rows[start : start + step] for start in range(0, len(rows), step)]


def _bytes_of_a_picture(reader: Reads, ids: Sequence[Any] | np.ndarray, content: Content) -> int:
    """Bytes of a picture or of its file, on average over a few of a listing; 0 where none can be opened."""
    sizes = []
    some = ids[:: max(1, len(ids) // SAMPLE)][:SAMPLE]
    for named in map(str, decode_ids(some)) if isinstance(some, np.ndarray) else some:
        try:
            raw = in_time(reader.read, named)
            image = decode(raw)
        except (DataError, OSError):
            continue  # the run itself will say so
        pixels = 3 * image.width * image.height
        sizes.append(len(raw) if content == "files" and isinstance(raw, bytes) else pixels)
    return int(np.mean(sizes)) if sizes else 0
