"""From batches to embeddings: decoded ahead of their use, and on a GPU several under way at once."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice, tee
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from featcache.encoding.ahead import ahead
from featcache.encoding.packing import packed
from featcache.encoding.waits import COPYING, DECODING, DEVICE, READING, STARTING, Waits
from featcache.errors import ModelError
from featcache.images.batches import Gathering, PixelBatch
from featcache.images.decoding import DecodedRows, load_parts, slots_needed
from featcache.images.parts import Content, Parts
from featcache.images.resampler import resampler
from featcache.images.ring import Ring

if TYPE_CHECKING:
    from featcache.encoders.encoder import Encoder, PendingEmbeddings

HELD = 4
"""Decoded parts whose copy to a GPU may still be under way."""
BROUGHT = 2
"""Batches that wait on a GPU to be encoded."""
BEGUN = 3
"""Batches that a GPU has before it."""

Batch = tuple[str, Sequence[Any]]
"""A split, and rows of it; or images that were given themselves, which are of no split."""


class Pipeline(ABC):
    """What encodes batches, in order; subclasses say which images they are made of.

    Attributes:
        encoder: The frozen model.
        views: Augmented views of each split; splits that are not named get none.
        workers: Decoding processes; 0 decodes in this one.
        exact: Whether to decode exactly, also for an encoder that lets pictures be decoded a little differently.
        waits: What was waited for so far.
    """

    encoder: Encoder
    views: Mapping[str, int]
    workers: int
    exact: bool
    waits: Waits

    @property
    @abstractmethod
    def batch_size(self) -> int:
        """Images encoded together."""

    @abstractmethod
    def parts(self, content: Content) -> Parts:
        """How batches are cut for the decoding processes."""

    @abstractmethod
    def rows(self, ring: Ring, *, whole: bool, draft: int | None) -> DecodedRows:
        """What decodes into a ring; see `DecodedRows`."""

    def decode(self, batches: Iterable[Batch]) -> Generator[PixelBatch]:
        """Decode batches in order, ahead of their use, and bring them to the encoder's device.

        They are drawn as they are begun, so that which come next may still be open.
        """
        encoder, resizing = self.encoder, self.encoder.pixels.resizing
        resample = resampler(encoder.device, resizing) if resizing else None
        size, whole = encoder.input_size, resample is not None
        draft = None if self.exact else encoder.draft
        parts = self.parts("files" if whole and draft else "pixels" if whole else "squares")
        held = HELD if encoder.device.type == "cuda" else 0
        rows = self.rows(Ring(slots_needed(self.workers, held), parts.slot_bytes), whole=whole, draft=draft)
        gathering = Gathering(encoder.device, size, (resample, resizing) if resample and resizing else None)
        to_decode, to_gather = tee((split, parts.cut(split, of_batch)) for split, of_batch in batches)
        every = ((split, part) for split, of_batch in to_decode for part in of_batch)
        loaded = load_parts(rows, every, workers=self.workers, held=held, device=encoder.device)
        with closing(loaded) as decoded:
            for split, of_batch in to_gather:
                count = sum(map(len, of_batch))
                yield gathering.gather(islice(decoded, len(of_batch)), count, self.views.get(split, 0))

    def encode(self, batches: Iterable[Batch]) -> Generator[tuple[PixelBatch, np.ndarray]]:
        """Decoded batches in order, each with its embeddings (B, 1 + V, D) float32, NaN where unreadable or known.

        On a GPU a few are under way together: while it computes one, the next is launched and one more is brought.

        Raises:
            ModelError: A batch does not fit into the device's memory.
        """
        try:
            yield from self._encode(batches, on_gpu=self.encoder.device.type == "cuda")
        except torch.OutOfMemoryError as error:
            size = self.batch_size
            message = f"a batch of {size} images does not fit into the memory of {self.encoder.device}; "
            raise ModelError(f"{message}type --batch-size {max(1, size // 2)} and another --name") from error

    def _encode(self, batches: Iterable[Batch], *, on_gpu: bool) -> Generator[tuple[PixelBatch, np.ndarray]]:
        begun: deque[tuple[list[PixelBatch], list[PendingEmbeddings]]] = deque()
        decoded = self.decode(batches)
        with closing(ahead(decoded, BROUGHT) if on_gpu else decoded) as brought:
            for group in packed(self._counted(brought), self.batch_size):
                with self.waits.on(DEVICE):
                    begun.append((group, start_batches(self, group)))
                    done = finish_batches(self, *begun.popleft()) if len(begun) == (BEGUN if on_gpu else 1) else []
                yield from done
        while begun:
            with self.waits.on(DEVICE):
                done = finish_batches(self, *begun.popleft())
            yield from done

    def _counted(self, batches: Iterable[PixelBatch]) -> Iterator[PixelBatch]:
        """The same batches; what each is waited for is counted."""
        began = time.perf_counter()
        for batch in batches:
            self._waited_for(batch, time.perf_counter() - began)
            yield batch
            began = time.perf_counter()

    def _waited_for(self, batch: PixelBatch, seconds: float) -> None:
        """Count what a batch was waited for; the first one stands for all that comes before."""
        first = not any(self.waits.seconds.values())
        spent = {READING: batch.reading, DECODING: batch.decoding, COPYING: batch.copying}
        self.waits.divide(seconds, {STARTING: 1.0} if first else spent)


def start_batches(pipeline: Pipeline, group: Sequence[PixelBatch]) -> list[PendingEmbeddings]:
    """Begin to encode the views of decoded batches together; nothing is begun where no image is to be encoded.

    What is short (the last batch of a split) is padded to the full size, so that no row depends on how many follow it.
    """
    if not any(batch.readable[batch.pictured].any() for batch in group):
        return []
    pixels = group[0].pixels if len(group) == 1 else torch.cat([batch.pixels for batch in group])
    return [pipeline.encoder.start_images(view, pad_to=pipeline.batch_size) for view in pixels.permute(1, 0, 4, 2, 3)]


def finish_batches(
    pipeline: Pipeline, group: Sequence[PixelBatch], pending: Sequence[PendingEmbeddings]
) -> list[tuple[PixelBatch, np.ndarray]]:
    """Each batch with its (B, 1 + V, width) float32 embeddings, NaN where unreadable or known."""
    encoded, done, start = [one.result() for one in pending], [], 0
    for batch in group:
        rows, stop = batch.pictured, start + len(batch.pixels)
        embeddings = np.full((len(batch.reasons), batch.pixels.shape[1], pipeline.encoder.width), np.nan, np.float32)
        readable = batch.readable[rows]
        for view, values in enumerate(encoded):
            embeddings[rows[readable], view] = values[start:stop][readable]
        done.append((batch, embeddings))
        start = stop
    return done
