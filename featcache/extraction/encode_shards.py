"""From shards to results: encoded here, written in a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from queue import Queue
from threading import Thread

import numpy as np

from featcache.cache.plan import Shard
from featcache.cache.writing import ShardResult
from featcache.encoding.known_images import UNKNOWN
from featcache.encoding.waits import WRITING
from featcache.extraction.growing.taking import take_known
from featcache.extraction.job import Job, empty_result, fill

Write = Callable[[ShardResult], None]


def encode_shards(job: Job, shards: Iterable[Shard], write: Write) -> Generator[tuple[int, int]]:
    """Encode shards in order and hand each to `write`, once.

    Shards are drawn as their first batch is begun. When the generator ends or is closed, all that is finished is
    written.

    Yields:
        After each batch: its rows, and how many of them are unreadable.

    Raises:
        DataError: An image is unreadable and the job says to fail then; the message names it.
    """
    drawn: deque[Shard] = deque()

    def batches() -> Iterator[tuple[str, range]]:
        for shard in shards:
            drawn.append(shard)
            for rows in job.plan.batches(shard):
                yield shard.split, rows

    result: ShardResult | None = None
    places = np.zeros(0, np.int64)
    with BackgroundWriter(write) as writer, closing(job.encode(batches())) as encoded:
        for batch, embeddings in encoded:
            if result is None:
                result = empty_result(drawn.popleft(), job)
                places = np.full(len(result.shard), UNKNOWN)
                left = job.plan.batches(result.shard)
            rows = next(left)
            fill(result, rows, batch, embeddings, job)
            if batch.known is not None:
                places[rows.start - result.shard.start : rows.stop - result.shard.start] = batch.known
            if rows.stop == result.shard.stop:
                take_known(result, places, job)
                with job.waits.on(WRITING):
                    writer.submit(result)
                result = None
            yield len(rows), int((~batch.readable).sum())


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
