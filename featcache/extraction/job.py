"""Encoding shards: rows, batches and bits follow from the job, wherever it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from featcache.cache.layout import ENCODED, UNREADABLE
from featcache.cache.manifest import views_of
from featcache.cache.plan import Shard, ShardPlan
from featcache.cache.writing import ShardResult
from featcache.encoding.pipeline import Pipeline
from featcache.encoding.waits import Waits
from featcache.errors import DataError
from featcache.ids import CONTENT_BYTES, decode_ids, encode_ids
from featcache.images.batches import PixelBatch
from featcache.images.decoding import DecodedRows
from featcache.images.parts import Content, Parts
from featcache.images.ring import Ring
from featcache.images.views import ViewTransform

if TYPE_CHECKING:
    from featcache.datasets.dataset import Dataset, Reader
    from featcache.encoders.encoder import Encoder
    from featcache.encoding.known_images import KnownImages


@dataclass(frozen=True)
class Job(Pipeline):
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

    @property
    def batch_size(self) -> int:
        """Images encoded together."""
        return self.plan.batch_size

    def parts(self, content: Content) -> Parts:
        """How batches are cut for the decoding processes."""
        return Parts.of(self.reader, self.ids, self.views, self.encoder.input_size, self.batch_size, content)

    def rows(self, ring: Ring, *, whole: bool, draft: int | None) -> DecodedRows:
        """What decodes into a ring."""
        return DecodedRows(
            self.reader,
            self.ids,
            transform=self.encoder.pixels,
            whole=whole,
            draft=draft,
            view_transform=ViewTransform(self.encoder.input_size),
            views=self.views,
            seed=self.view_seed,
            ring=ring,
            known=self.known,
        )


def empty_result(shard: Shard, job: Job) -> ShardResult:
    """A shard of which nothing is encoded yet."""
    rows, dim, views = len(shard), job.encoder.width, job.views.get(shard.split, 0)
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
