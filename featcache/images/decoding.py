"""From a listing to pixels, decoded ahead of their use by worker processes.

A worker only decodes where a GPU resizes: it leaves pictures as they are, one behind the other, in a slot of a ring.
What is too large for the slot, has another mode than RGB or grey, or is an augmented view, it resizes itself, with the
same pixels as a result.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from featcache.datasets.readers.in_time import in_time
from featcache.encoders.pixels import BytePixels
from featcache.errors import DataError
from featcache.ids import decode_ids
from featcache.images.content import content_digest
from featcache.images.decode import Raw, Reads, decode, jpeg_size, reason
from featcache.images.lost_worker import explain_lost_worker
from featcache.images.resampling import Size
from featcache.images.ring import Ring
from featcache.images.views import ViewTransform

if TYPE_CHECKING:
    from PIL.Image import Image

NICE = 10
"""By how much decoding processes give way to an encoder on the same cores."""
AHEAD = 2
"""Parts that each worker decodes before they are asked for."""


class Known(Protocol):
    """Images whose embeddings are known."""

    def find(self, split: str, named: Any, raw: object, content: bytes) -> int:
        """Where the embedding of an image is, by its split, what names it, its file and the digest; -1: nowhere."""
        ...


class Part(NamedTuple):
    """Rows of one split, or images that were given themselves, and the slot that they are decoded into."""

    slot: int
    split: str
    rows: Sequence[Any]


class Told(NamedTuple):
    """What a worker tells of a part.

    Attributes:
        sizes: (height, width) of each picture.
        files: Bytes of each picture that is still a JPEG file; 0 where it is pixels.
        reasons: Why a row's image is unreadable; empty strings for the others.
        contents: Digest of each row's file; empty where it could not be read.
        places: Where an embedding of a row's file is known, which is then not decoded; -1 for the others.
        reading: Seconds it took to read the files.
        decoding: Seconds it took to make pixels of them.
    """

    sizes: list[Size]
    files: list[int]
    reasons: list[str]
    contents: list[bytes]
    places: list[int]
    reading: float
    decoding: float

    @property
    def pictured(self) -> list[bool]:
        """Of each row whether its picture is here: it could be read, and its embedding is not known."""
        return [not reason and place < 0 for reason, place in zip(self.reasons, self.places, strict=True)]

    @property
    def lengths(self) -> list[int]:
        """Bytes of each picture in the slot."""
        return [file or 3 * height * width for file, (height, width) in zip(self.files, self.sizes, strict=True)]


@dataclass
class DecodedPart:
    """R rows of one split, decoded.

    Attributes:
        pixels: (bytes,) uint8: pictures (H, W, 3) one behind the other, or their JPEG files; of each readable row the
            centre view, then the augmented ones. They lie in a slot that is written again when the next part but a few
            is asked for.
        told: What the worker tells of them.
        wait: Called before the slot is written again: whoever still reads it sets what waits for that.
    """

    pixels: torch.Tensor
    told: Told
    wait: Callable[[], object] = field(default=lambda: None)


class DecodedRows(Dataset[Told]):
    """Runs of rows as a map-style data set: a `Part` decodes its rows into its slot and tells their sizes.

    Args:
        reader: Reads an image by its id, or by what else names it.
        ids: (N, W) uint8 ids of each split. An array and not strings: workers share its memory, while touching a
            Python string writes its reference count and so copies the page it lies on.
        transform: What makes the encoder's input of an image.
        whole: Whether pictures may stay as they are, to be resized elsewhere.
        draft: Pixels that a JPEG's short side keeps where pixels may differ a little from open_clip's: where pictures
            stay whole it stays a file, elsewhere it comes out smaller. None: they may not.
        view_transform: The augmentation, used `views[split]` times an image.
        views: V of each split.
        seed: Of the augmentation; each image and view has its own stream, derived from the seed, the image's id and
            the view's number, so neither workers nor resuming can change them.
        ring: Where the pixels go.
        known: Images whose embeddings are known; None: none is.
    """

    def __init__(
        self,
        reader: Reads,
        ids: Mapping[str, np.ndarray],
        *,
        transform: BytePixels,
        whole: bool,
        draft: int | None,
        view_transform: ViewTransform,
        views: Mapping[str, int],
        seed: int,
        ring: Ring,
        known: Known | None = None,
    ) -> None:
        self.ring, self._known = ring, known
        self._reader, self._ids = reader, ids
        self._transform, self._whole, self._draft = transform, whole, draft
        self._view_transform, self._views, self._seed = view_transform, views, seed

    def __getitem__(self, part: Part) -> Told:
        split, rows = part.split, part.rows
        slot = self.ring.slots[part.slot].numpy()
        height, width = self._view_transform.size
        square, pictures = 3 * height * width, 1 + self._views.get(split, 0)
        told = Told([], [], [], [], [], 0.0, 0.0)
        used, reading, began = 0, 0.0, time.perf_counter()
        left = len(rows) * pictures * square  # kept free for the rows that follow, should they all be resized
        for named in self._named(part):
            left -= pictures * square
            room = len(slot) - used - left - (pictures - 1) * square
            asked, content, place = time.perf_counter(), b"", -1
            try:
                raw = in_time(self._reader.read, named)
                reading += time.perf_counter() - asked
                content = self._digest(named, raw)
                if self._known is not None:
                    place = self._known.find(split, named, raw, content)
                loaded = self._load(raw, named, pictures - 1, room) if place < 0 else []
            except (DataError, OSError) as error:
                told.reasons.append(reason(error))
                told.contents.append(content)
                told.places.append(place)
                continue
            for size, values, file in loaded:
                slot[used : used + values.size] = values.reshape(-1)
                used += values.size
                told.sizes.append(size)
                told.files.append(values.size if file else 0)
            told.reasons.append("")
            told.contents.append(content)
            told.places.append(place)
        return told._replace(reading=reading, decoding=time.perf_counter() - began - reading)

    def _named(self, part: Part) -> Iterable[Any]:
        """What the reader is asked for, for each row of a part."""
        assert isinstance(part.rows, range)
        return map(str, decode_ids(self._ids[part.split][part.rows.start : part.rows.stop]))

    def _digest(self, named: Any, raw: Raw) -> bytes:
        """What tells the content of an image that was read."""
        return content_digest(raw)

    def _load(self, raw: Raw, named: Any, views: int, room: int) -> list[tuple[Size, np.ndarray, bool]]:
        """The pictures of one row, the first of at most `room` bytes: size, bytes, whether they are a JPEG file's."""
        may_stay_a_file = self._draft is not None and self._whole and not views
        if may_stay_a_file and isinstance(raw, bytes) and len(raw) <= room and (size := jpeg_size(raw)):
            return [(size, np.frombuffer(raw, np.uint8), True)]
        image = decode(raw, draft=None if self._whole else self._draft)
        as_it_is = self._whole and image.mode in ("RGB", "L") and 3 * image.width * image.height <= room
        arrays = [_rgb(image) if as_it_is else self._transform.array(image)]
        for view in range(views):
            drawn = self._view_transform(image, _view_seed(self._seed, named, view))
            arrays.append(drawn.permute(1, 2, 0).numpy())
        return [((array.shape[0], array.shape[1]), array, False) for array in arrays]


def slots_needed(workers: int, held: int) -> int:
    """Slots of a ring such that none is written while it waits, or while one of the last `held` parts is read."""
    return AHEAD * workers + held + 1


def load_parts(
    rows: DecodedRows, parts: Iterable[tuple[str, Sequence[Any]]], *, workers: int, held: int, device: torch.device
) -> Generator[DecodedPart]:
    """Decoded parts in order, made ahead of time by worker processes (0: in this one).

    Args:
        rows: What decodes; its ring has `slots_needed`.
        parts: The splits and rows to decode, in order; drawn when there is a slot to decode them into.
        workers: Processes.
        held: How many of the last parts the caller may still be reading.
        device: Where the pixels go from here.

    Raises:
        DataError: The system killed a worker.
    """
    loader: DataLoader[Any] = DataLoader(
        rows,
        batch_size=None,  # a part already is a run of rows
        sampler=_in_slots(parts, len(rows.ring)),
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
        collate_fn=_as_it_is,
        worker_init_fn=partial(_begin, nice=NICE if device.type == "cpu" else 0),
        generator=torch.Generator(),  # the loader seeds its workers; the caller's random state stays as it is
        multiprocessing_context="fork" if workers and rows.ring.forked else None,
    )
    reading: list[DecodedPart] = []
    with explain_lost_worker():
        with _uninterrupted():
            decoded = iter(loader)  # starts the workers, which have no use for locked pages
        with rows.ring.page_locked(device):
            for slot in cycle(range(len(rows.ring))):
                while len(reading) > held:
                    reading.pop(0).wait()
                told = next(decoded, None)
                if told is None:
                    break
                part = DecodedPart(rows.ring.slots[slot][: sum(told.lengths)], told)
                reading.append(part)
                yield part
            for part in reading:
                part.wait()


def _in_slots(parts: Iterable[tuple[str, Sequence[Any]]], slots: int) -> Iterator[Part]:
    """The parts, each with the slot that follows the last one's."""
    for slot, (split, rows) in zip(cycle(range(slots)), parts, strict=False):
        yield Part(slot, split, rows)


def _rgb(image: Image) -> np.ndarray:
    """(H, W, 3) uint8 of an image in RGB or grey."""
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Start processes that hear of no interruption until they have begun."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(worker: int, *, nice: int) -> None:
    """Begin a worker's process: leave interruptions to the run's own, and the cores to the encoder if it shares them.

    Args:
        worker: Its number.
        nice: By how much it gives way; threads of an encoder on a CPU wait for the slowest of them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is sent to all, and the run ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    if hasattr(os, "nice"):
        os.nice(nice)


def _as_it_is(told: Any) -> Any:
    return told


def _view_seed(seed: int, image_id: str, view: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\0{image_id}\0{view}".encode()).digest()[:8], "little") >> 1
