"""Engines run the shards that are still to do; this one on this machine.

An engine gets a job and a list of shards and hands over each finished shard exactly once. It decides nothing about
rows, batches or bits: those follow from the job, so that any engine gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from featcache.cache.plan import Shard, ShardPlan
from featcache.cache.writing import ENCODED, UNREADABLE, ShardResult
from featcache.errors import DataError, ModelError
from featcache.ids import decode_ids
from featcache.images.batches import ImageRows, PixelBatch, join_parts, load_parts, split_batch
from featcache.progress import Reporter

if TYPE_CHECKING:
    from featcache.datasets import Reader
    from featcache.encoders.encoder import Encoder
    from featcache.extraction.request import OnError

Write = Callable[[ShardResult], None]


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
        on_error: What an unreadable image does: stop the run, or leave its row empty.
        workers: Decoding processes; 0 decodes in this one.
    """

    encoder: Encoder
    reader: Reader
    ids: Mapping[str, np.ndarray]
    plan: ShardPlan
    views: Mapping[str, int]
    view_seed: int
    on_error: OnError
    workers: int

    def decode(self, batches: Sequence[tuple[str, range]]) -> Iterator[PixelBatch]:
        """Decode batches in order, a few ahead of their use."""
        parts = [[(split, part) for part in split_batch(rows, self._pixel_bytes(split))] for split, rows in batches]
        rows = ImageRows(
            self.reader,
            self.ids,
            [part for of_batch in parts for part in of_batch],
            transform=self.encoder.transform,
            view_transform=self.encoder.view_transform(),
            views=self.views,
            seed=self.view_seed,
        )
        decoded = load_parts(rows, workers=self.workers, pin_memory=self.encoder.device.type == "cuda")
        for of_batch in parts:
            yield join_parts([next(decoded) for _ in of_batch])

    def _pixel_bytes(self, split: str) -> int:
        """Of one row's decoded images, float32."""
        return 4 * 3 * self.encoder.image_size**2 * (1 + self.views.get(split, 0))


class Engine(Protocol):
    """Runs shards somewhere."""

    def run(self, job: Job, shards: Sequence[Shard], write: Write, report: Reporter) -> None:
        """Encode `shards` and hand each result to `write`.

        Raises:
            DataError: An image is unreadable and the job says to fail then; the message names it.
        """


class LocalEngine:
    """This machine: decoding in worker processes, encoding here, writing in a thread of its own."""

    def run(self, job: Job, shards: Sequence[Shard], write: Write, report: Reporter) -> None:
        """See `Engine.run`."""
        batches = [(shard.split, rows) for shard in shards for rows in job.plan.batches(shard)]
        decoded = job.decode(batches)
        with BackgroundWriter(write) as writer:
            for shard in shards:
                result = _empty_result(shard, job)
                for rows in job.plan.batches(shard):
                    batch = next(decoded)
                    _fill(result, rows, batch, job)
                    report.advance(len(rows), int((batch.state == UNREADABLE).sum()))
                writer.submit(result)


class BackgroundWriter:
    """Writes results in a thread, at most two waiting, so that encoding does not stand still; errors come back."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._queue: Queue[ShardResult | None] = Queue(maxsize=2)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, name="featcache-writer", daemon=True)

    def __enter__(self) -> BackgroundWriter:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        # Also after an error of the encoder: shards that are finished are worth keeping.
        self._queue.put(None)
        self._thread.join()
        if self._error and exception[0] is None:
            raise self._error

    def submit(self, result: ShardResult) -> None:
        """Queue one result; raises the error of an earlier one, if any."""
        self._queue.put(result)
        if self._error:
            raise self._error

    def _work(self) -> None:
        while (result := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._write(result)
                except BaseException as error:
                    self._error = error


def encode_batch(job: Job, batch: PixelBatch) -> np.ndarray:
    """(B, 1 + V, D) float32 embeddings of one decoded batch, NaN where unreadable.

    A short batch (the last of a split) is padded to the full size: matrix products of another shape may round
    differently, and then a row would depend on how many rows follow it.
    """
    count, views = batch.pixels.shape[:2]
    result = np.full((count, views, job.encoder.dim), np.nan, np.float32)
    readable = (batch.state == ENCODED).numpy()
    if not readable.any():
        return result
    padding = job.plan.batch_size - count
    for view in range(views):
        pixels = batch.pixels[:, view]
        if padding:
            pixels = torch.cat([pixels, pixels.new_zeros(padding, *pixels.shape[1:])])
        try:
            result[readable, view] = job.encoder.encode_images(pixels)[:count][readable]
        except torch.OutOfMemoryError as error:
            size = job.plan.batch_size
            message = f"a batch of {size} images does not fit into the memory of {job.encoder.device}; "
            raise ModelError(f"{message}type --batch-size {max(1, size // 2)} and another --name") from error
    return result


def _empty_result(shard: Shard, job: Job) -> ShardResult:
    rows, dim, views = len(shard), job.encoder.dim, job.views.get(shard.split, 0)
    return ShardResult(
        shard=shard,
        images=np.full((rows, dim), np.nan, np.float32),
        views=np.full((rows, views, dim), np.nan, np.float32) if views else None,
        state=np.full(rows, UNREADABLE, np.int8),
    )


def _fill(result: ShardResult, rows: range, batch: PixelBatch, job: Job) -> None:
    split = result.shard.split
    for row, reason in zip(rows, batch.reasons, strict=True):
        if reason:
            image_id = str(decode_ids(job.ids[split][row : row + 1])[0])
            if job.on_error == "fail":
                message = f"cannot read {image_id} ({split} row {row}): {reason}; "
                raise DataError(message + "mend the file, or type --on-error skip to leave its row empty")
            result.bad.append({"row": row, "id": image_id, "reason": reason})
    embeddings = encode_batch(job, batch)
    where = slice(rows.start - result.shard.start, rows.stop - result.shard.start)
    result.images[where] = embeddings[:, 0]
    result.state[where] = batch.state.numpy()
    if result.views is not None:
        result.views[where] = embeddings[:, 1:]
