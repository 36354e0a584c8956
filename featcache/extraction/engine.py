"""What an engine is given and what it gives: shards that are still to do, each handed over exactly once.

An engine decides nothing about rows, batches or bits: those follow from the job, so that any engine gives the same
numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from featcache.cache.layout import ENCODED, UNREADABLE
from featcache.cache.plan import Shard, ShardPlan
from featcache.cache.writing import ShardResult
from featcache.errors import DataError, ModelError
from featcache.ids import decode_ids
from featcache.images.batches import ImageRows, PixelBatch, join_parts, load_parts, split_batch
from featcache.images.views import ViewTransform
from featcache.progress import Reporter

if TYPE_CHECKING:
    from featcache.datasets.dataset import Reader
    from featcache.encoders.encoder import Encoder

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
        skip_unreadable: Whether an unreadable image leaves its row empty; else it stops the run.
        workers: Decoding processes; 0 decodes in this one.
    """

    encoder: Encoder
    reader: Reader
    ids: Mapping[str, np.ndarray]
    plan: ShardPlan
    views: Mapping[str, int]
    view_seed: int
    skip_unreadable: bool
    workers: int

    def decode(self, batches: Sequence[tuple[str, range]]) -> Iterator[PixelBatch]:
        """Decode batches in order, a few ahead of their use."""
        parts = [[(split, part) for part in split_batch(rows, self._pixel_bytes(split))] for split, rows in batches]
        rows = ImageRows(
            self.reader,
            self.ids,
            [part for of_batch in parts for part in of_batch],
            transform=self.encoder.pixels,
            view_transform=ViewTransform(self.encoder.input_size),
            views=self.views,
            seed=self.view_seed,
        )
        decoded = load_parts(rows, workers=self.workers, pin_memory=self.encoder.device.type == "cuda")
        for of_batch in parts:
            yield join_parts([next(decoded) for _ in of_batch])

    def _pixel_bytes(self, split: str) -> int:
        """Of one row's decoded images, a byte each value."""
        return 3 * self.encoder.image_size**2 * (1 + self.views.get(split, 0))


class Engine(Protocol):
    """Runs shards somewhere; the first line of its docstring says where."""

    def run(self, job: Job, shards: Sequence[Shard], write: Write, report: Reporter) -> None:
        """Encode `shards` and hand each result to `write`.

        Raises:
            DataError: An image is unreadable and the job says to fail then; the message names it.
        """


def encode_batch(job: Job, batch: PixelBatch) -> np.ndarray:
    """(B, 1 + V, D) float32 embeddings of one decoded batch, NaN where unreadable.

    A short batch (the last of a split) is padded to the full size, so that no row depends on how many rows follow it.
    """
    count, views = batch.pixels.shape[:2]
    result = np.full((count, views, job.encoder.dim), np.nan, np.float32)
    readable = batch.readable.numpy()
    if not readable.any():
        return result
    for view in range(views):
        try:
            embeddings = job.encoder.encode_images(batch.pixels[:, view], pad_to=job.plan.batch_size)
            result[readable, view] = embeddings[readable]
        except torch.OutOfMemoryError as error:
            size = job.plan.batch_size
            message = f"a batch of {size} images does not fit into the memory of {job.encoder.device}; "
            raise ModelError(f"{message}type --batch-size {max(1, size // 2)} and another --name") from error
    return result


def empty_result(shard: Shard, job: Job) -> ShardResult:
    """A shard of which nothing is encoded yet."""
    rows, dim, views = len(shard), job.encoder.dim, job.views.get(shard.split, 0)
    return ShardResult(
        shard=shard,
        images=np.full((rows, dim), np.nan, np.float32),
        views=np.full((rows, views, dim), np.nan, np.float32) if views else None,
        state=np.full(rows, UNREADABLE, np.int8),
    )


def fill(result: ShardResult, rows: range, batch: PixelBatch, job: Job) -> None:
    """Encode a decoded batch into its rows of a shard.

    Raises:
        DataError: An image is unreadable and the job says to fail then; the message names it.
    """
    split = result.shard.split
    for row, reason in zip(rows, batch.reasons, strict=True):
        if reason:
            image_id = str(decode_ids(job.ids[split][row : row + 1])[0])
            if not job.skip_unreadable:
                message = f"cannot read {image_id} ({split} row {row}): {reason}; "
                raise DataError(message + "mend the file, or type --on-error skip to leave its row empty")
            result.bad.append({"row": row, "id": image_id, "reason": reason})
    embeddings = encode_batch(job, batch)
    where = slice(rows.start - result.shard.start, rows.stop - result.shard.start)
    result.images[where] = embeddings[:, 0]
    result.state[where] = np.where(batch.readable.numpy(), ENCODED, UNREADABLE)
    if result.views is not None:
        result.views[where] = embeddings[:, 1:]
