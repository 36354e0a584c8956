"""How the rows of a data set are cut into shards, the units of work and of writing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ROWS_PER_CHUNK = 1024  # at most; about 1 MB at 512 float16 numbers a row, which Zarr recommends
SECONDS_PER_SHARD = 30.0  # what a killed run may lose; measured speed is rough, so half of the minute promised
MOST_SHARDS = 10_000  # of a split; file systems and listings suffer beyond
MOST_BYTES = 256 * 2**20  # of a shard in memory, as float32; up to four wait to be written


@dataclass(frozen=True)
class Shard:
    """Rows `[start, stop)` of a split: one unit of work, written at once by one writer."""

    split: str
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __str__(self) -> str:
        return f"{self.split} rows {self.start}-{self.stop - 1}"


@dataclass(frozen=True)
class ShardPlan:
    """The cut of every split into shards; fixed when a cache is made.

    Attributes:
        rows: Rows of each split.
        batch_size: Images encoded together. Shards hold whole batches, so the composition of a batch does not
            depend on the plan.
        rows_per_shard: A multiple of `batch_size`.
    """

    rows: Mapping[str, int]
    batch_size: int
    rows_per_shard: int

    @classmethod
    def for_speed(
        cls, rows: Mapping[str, int], *, batch_size: int, rows_per_second: float, bytes_per_row: int
    ) -> ShardPlan:
        """A plan under which a lost shard costs about half a minute of encoding at the speed measured.

        A machine that does 3 images a second gets shards of a few batches; a fast one large shards, but no larger
        than its largest split, than `MOST_BYTES`, and never so small that a split has more than `MOST_SHARDS`.

        Args:
            rows: Rows of each split.
            batch_size: Images encoded together.
            rows_per_second: Measured.
            bytes_per_row: Of all embeddings of a row as float32.
        """
        largest = max(rows.values(), default=0)
        wanted = min(rows_per_second * SECONDS_PER_SHARD, MOST_BYTES / bytes_per_row, max(largest, 1))
        batches, least = max(int(wanted // batch_size), 1), -(-largest // (MOST_SHARDS * batch_size))
        batches_per_chunk = max(ROWS_PER_CHUNK // batch_size, 1)
        if batches > batches_per_chunk:  # whole chunks, so that reading never goes by a few rows
            batches -= batches % batches_per_chunk
        if batches < least:
            batches = least if least <= batches_per_chunk else -(-least // batches_per_chunk) * batches_per_chunk
        return cls(rows=dict(rows), batch_size=batch_size, rows_per_shard=batches * batch_size)

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> ShardPlan:
        """The plan that a manifest records."""
        plan = manifest["plan"]
        return cls(
            rows=plan["rows"],
            batch_size=manifest["identity"]["batch_size"],
            rows_per_shard=plan["rows_per_shard"],
        )

    @property
    def rows_per_chunk(self) -> int:
        """The unit of reading: as many whole batches as `ROWS_PER_CHUNK` holds, at least one."""
        return min(max(ROWS_PER_CHUNK // self.batch_size, 1) * self.batch_size, self.rows_per_shard)

    def shards(self, split: str) -> Iterator[Shard]:
        """All shards of a split in order."""
        for start in range(0, self.rows[split], self.rows_per_shard):
            yield Shard(split, start, min(start + self.rows_per_shard, self.rows[split]))

    def batches(self, shard: Shard) -> Iterator[range]:
        """The batches of a shard: ranges of rows of its split, the very last one of a split possibly short."""
        for start in range(shard.start, shard.stop, self.batch_size):
            yield range(start, min(start + self.batch_size, shard.stop))
