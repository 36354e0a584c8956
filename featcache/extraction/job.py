"""Encoding shards: rows, batches and bits follow from the job, wherever it is done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice, tee
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from featcache.cache.layout import ENCODED, UNREADABLE
from featcache.cache.manifest import views_of
from featcache.cache.plan import Shard, ShardPlan
from featcache.cache.writing import ShardResult
from featcache.errors import DataError, ModelError
from featcache.extraction.ahead import ahead
from featcache.extraction.growing.packing import packed
from featcache.extraction.waits import COPYING, DECODING, DEVICE, READING, STARTING, Waits
from featcache.ids import CONTENT_BYTES, decode_ids, encode_ids
from featcache.images.batches import Gathering, PixelBatch
from featcache.images.decoding import DecodedRows, load_parts, slots_needed
from featcache.images.parts import Content, Parts
from featcache.images.resampler import resampler
from featcache.images.ring import Ring
from featcache.images.views import ViewTransform

if TYPE_CHECKING:
    from featcache.datasets.dataset import Dataset, Reader
    from featcache.encoders.encoder import Encoder, PendingEmbeddings
    from featcache.extraction.growing.known_images import KnownImages

HELD = 4
"""Decoded parts whose copy to a GPU may still be under way."""
BROUGHT = 2
"""Batches that wait on a GPU to be encoded."""
BEGUN = 3
"""Batches that a GPU has before it."""


@dataclass(frozen=True)
class Job:
    """All that encoding needs to know.

    Attributes:
        encoder: The frozen model.
        reader: Reads an image by its id.
        ids: (N, W) uint8 ids of each split.
        plan: Batches and shards.
        views: Augmented views of each split; splits that are not named get none.
        view_seed: Seed of the augmentation.
        skip_unreadable: Whether an unreadable image leaves its row empty; else it stops the run.
        workers: Decoding processes; 0 decodes in this one.
        known: Images whose embeddings other caches have; None: there is none.
        exact: Whether to decode exactly, also for an encoder that lets pictures be decoded a little differently.
        waits: What the run waited for so far.
    """

    encoder: Encoder
    reader: Reader
    ids: Mapping[str, np.ndarray]
    plan: ShardPlan
    views: Mapping[str, int]
    view_seed: int
    skip_unreadable: bool
    workers: int
    known: KnownImages | None = None
    exact: bool = False
    waits: Waits = field(default_factory=Waits)

    @classmethod
    def of(
        cls,
        manifest: Mapping[str, Any],
        dataset: Dataset,
        encoder: Encoder,
        *,
        skip_unreadable: bool,
        workers: int,
    ) -> Self:
        """The job of a cache."""
        identity = manifest["identity"]
        return cls(
            encoder=encoder,
            reader=dataset.reader,
            ids={split: encode_ids(part.ids) for split, part in dataset.splits.items()},
            plan=ShardPlan.from_manifest(manifest),
            views=views_of(identity),
            view_seed=identity["views"]["seed"] if identity["views"] else 0,
            skip_unreadable=skip_unreadable,
            workers=workers,
        )

    def decode(self, batches: Iterable[tuple[str, range]]) -> Generator[PixelBatch]:
        """Decode batches in order, ahead of their use, and bring them to the encoder's device.

        They are drawn as they are begun, so that which come next may still be open.
        """
        encoder, resizing = self.encoder, self.encoder.pixels.resizing
        resample = resampler(encoder.device, resizing) if resizing else None
        size, whole = encoder.input_size, resample is not None
        draft = None if self.exact else encoder.draft
        content: Content = "files" if whole and draft else "pixels" if whole else "squares"
        parts = Parts.of(self.reader, self.ids, self.views, size, self.plan.batch_size, content)
        held = HELD if encoder.device.type == "cuda" else 0
        rows = DecodedRows(
            self.reader,
            self.ids,
            transform=encoder.pixels,
            whole=whole,
            draft=draft,
            view_transform=ViewTransform(size),
            views=self.views,
            seed=self.view_seed,
            ring=Ring(slots_needed(self.workers, held), parts.slot_bytes),
            known=self.known,
        )
        gathering = Gathering(encoder.device, size, (resample, resizing) if resample and resizing else None)
        to_decode, to_gather = tee((split, parts.cut(split, of_batch)) for split, of_batch in batches)
        every = ((split, part) for split, of_batch in to_decode for part in of_batch)
        loaded = load_parts(rows, every, workers=self.workers, held=held, device=encoder.device)
        with closing(loaded) as decoded:
            for split, of_batch in to_gather:
                count = sum(map(len, of_batch))
                yield gathering.gather(islice(decoded, len(of_batch)), count, self.views.get(split, 0))

    def encode(self, batches: Iterable[tuple[str, range]]) -> Generator[tuple[PixelBatch, np.ndarray]]:
        """Decoded batches in order, each with its embeddings (B, 1 + V, D) float32, NaN where unreadable or known.

        On a GPU a few are under way together: while it computes one, the next is launched and one more is brought.

        Raises:
            ModelError: A batch does not fit into the device's memory.
        """
        try:
            yield from self._encode(batches, on_gpu=self.encoder.device.type == "cuda")
        except torch.OutOfMemoryError as error:
            size = self.plan.batch_size
            message = f"a batch of {size} images does not fit into the memory of {self.encoder.device}; "
            raise ModelError(f"{message}type --batch-size {max(1, size // 2)} and another --name") from error

    def _encode(
        self, batches: Iterable[tuple[str, range]], *, on_gpu: bool
    ) -> Generator[tuple[PixelBatch, np.ndarray]]:
        begun: deque[tuple[list[PixelBatch], list[PendingEmbeddings]]] = deque()
        decoded = self.decode(batches)
        with closing(ahead(decoded, BROUGHT) if on_gpu else decoded) as brought:
            for group in packed(self._counted(brought), self.plan.batch_size):
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


def start_batches(job: Job, group: Sequence[PixelBatch]) -> list[PendingEmbeddings]:
    """Begin to encode the views of decoded batches together; nothing is begun where no image is to be encoded.

    What is short (the last batch of a split) is padded to the full size, so that no row depends on how many follow it.
    """
    if not any(batch.readable[batch.pictured].any() for batch in group):
        return []
    pixels = group[0].pixels if len(group) == 1 else torch.cat([batch.pixels for batch in group])
    return [job.encoder.start_images(view, pad_to=job.plan.batch_size) for view in pixels.permute(1, 0, 4, 2, 3)]


def finish_batches(
    job: Job, group: Sequence[PixelBatch], pending: Sequence[PendingEmbeddings]
) -> list[tuple[PixelBatch, np.ndarray]]:
    """Each batch with its (B, 1 + V, D) float32 embeddings, NaN where unreadable or known."""
    encoded, done, start = [one.result() for one in pending], [], 0
    for batch in group:
        rows, stop = batch.pictured, start + len(batch.pixels)
        embeddings = np.full((len(batch.reasons), batch.pixels.shape[1], job.encoder.dim), np.nan, np.float32)
        readable = batch.readable[rows]
        for view, values in enumerate(encoded):
            embeddings[rows[readable], view] = values[start:stop][readable]
        done.append((batch, embeddings))
        start = stop
    return done


def empty_result(shard: Shard, job: Job) -> ShardResult:
    """A shard of which nothing is encoded yet."""
    rows, dim, views = len(shard), job.encoder.dim, job.views.get(shard.split, 0)
    return ShardResult(
        shard=shard,
        images=np.full((rows, dim), np.nan, np.float32),
        views=np.full((rows, views, dim), np.nan, np.float32) if views else None,
        state=np.full(rows, UNREADABLE, np.int8),
        content=np.zeros((rows, CONTENT_BYTES), np.uint8),
    )


def fill(result: ShardResult, rows: Sequence[int], batch: PixelBatch, embeddings: np.ndarray, job: Job) -> None:
    """Put an encoded batch into its rows of a shard; those that are known are left to who takes them.

    Raises:
        DataError: An image is unreadable and the job says to fail then; the message names it.
    """
    split = result.shard.split
    for row, reason in zip(rows, batch.reasons, strict=True):
        if reason:
            image_id = str(decode_ids(job.ids[split][row : row + 1])[0])
            if not job.skip_unreadable:
                others = sum(map(bool, batch.reasons)) - 1
                more = f"; {others} more of its batch likewise, --check lists what headers tell" if others else ""
                message = f"cannot read {image_id} ({split} row {row}): {reason}{more}; "
                raise DataError(message + "mend the file, or type --on-error skip to leave its row empty")
            result.bad.append({"row": row, "id": image_id, "reason": reason})
    where = np.asarray(rows) - result.shard.start
    result.images[where] = embeddings[:, 0]
    result.content[where] = batch.contents
    result.state[where] = np.where(batch.readable, ENCODED, UNREADABLE)
    if result.views is not None:
        result.views[where] = embeddings[:, 1:]
