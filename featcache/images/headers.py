"""Which images cannot be read, told from their headers as far as that goes: no pixels are decoded where all is well.

What does not look whole by its header and its end is decoded, so that nothing is called unreadable that is not, and
each reason is the one that the run itself would give. Damage amid the pixels is seen by the run alone.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, TypeVar

import numpy as np
from PIL import Image

from featcache.datasets.readers.in_time import in_time
from featcache.errors import DataError, ImageError
from featcache.ids import decode_ids
from featcache.images.decode import DECODE_ERRORS, JPEG_ENDS, TAIL, check, decode, opened, reason
from featcache.images.lost_worker import explain_lost_worker

if TYPE_CHECKING:
    from featcache.datasets.dataset import Reader

T = TypeVar("T")

ENDS = {"JPEG": (JPEG_ENDS, TAIL), "PNG": (b"IEND", TAIL), "GIF": (b"\0;", 16)}
"""What is found near the end of a whole file, by its format, and in how many bytes; others have no such end."""


def why_unreadable(reader: Reader, image_id: str) -> str:
    """Why an image cannot be read; empty where its header and its end look well."""
    try:
        in_time(_look, reader, image_id)
    except (DataError, OSError) as error:
        return reason(error)
    return ""


def _look(reader: Reader, image_id: str) -> None:
    if hasattr(reader, "opened"):
        with reader.opened(image_id) as file:
            if looks_whole(file):
                return
    raw = reader.read(image_id)
    if not (isinstance(raw, bytes) and looks_whole(io.BytesIO(raw))):
        decode(raw)


def looks_whole(file: BinaryIO) -> bool:
    """Whether an image's header is one that `decode` takes, and its file ends as such files do."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = opened(file)
        if image.mode.startswith(("I", "F")):  # their values tell
            return False
        check(image)
        end, within = ENDS.get(image.format or "", (b"", 0))
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - within))
        return end in file.read()
    except (ImageError, Image.DecompressionBombWarning, Image.DecompressionBombError, *DECODE_ERRORS):
        return False


def look_at(
    reader: Reader,
    ids: Mapping[str, np.ndarray],
    parts: Sequence[tuple[str, range]],
    workers: int,
    look: Callable[[Reader, str], T],
) -> Iterator[list[T]]:
    """What `look` says of each row of each part, in order.

    Args:
        reader: Reads an image by its id.
        ids: (N, W) uint8 ids of each split.
        parts: Splits and rows.
        workers: Processes that look; 0: this one.
        look: Called with the reader and an id.

    Raises:
        DataError: The system killed a process.
    """
    looks = _Looks(reader, ids, look)
    if not workers:
        yield from map(looks.__getitem__, parts)
        return
    from torch.utils.data import DataLoader

    loader: DataLoader[Any] = DataLoader(
        looks,  # type: ignore[arg-type]
        batch_size=None,
        sampler=parts,
        num_workers=workers,
        collate_fn=list,
        multiprocessing_context="fork" if hasattr(os, "fork") else None,
    )
    with explain_lost_worker():
        yield from loader


class _Looks(Generic[T]):
    """What is seen of the rows of parts, as a map-style data set."""

    def __init__(self, reader: Reader, ids: Mapping[str, np.ndarray], look: Callable[[Reader, str], T]) -> None:
        self._reader, self._ids, self._look = reader, ids, look

    def __getitem__(self, part: tuple[str, range]) -> list[T]:
        split, rows = part
        return [self._look(self._reader, str(one)) for one in decode_ids(self._ids[split][rows.start : rows.stop])]
