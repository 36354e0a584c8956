"""The engine of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from queue import Queue
from threading import Thread

from featcache.cache.plan import Shard
from featcache.cache.writing import ShardResult
from featcache.extraction.engine import Job, Write, empty_result, fill
from featcache.extraction.waits import WRITING
from featcache.progress import Reporter


class LocalEngine:
    """This machine: decoding in worker processes, encoding here, writing in a thread of its own."""

    def run(self, job: Job, shards: Sequence[Shard], write: Write, report: Reporter) -> None:
        """See `Engine.run`."""
        batches = [(shard.split, rows) for shard in shards for rows in job.plan.batches(shard)]
        with closing(job.encode(batches)) as encoded, BackgroundWriter(write) as writer:
            for shard in shards:
                result = empty_result(shard, job)
                for rows in job.plan.batches(shard):
                    batch, embeddings = next(encoded)
                    fill(result, rows, batch, embeddings, job)
                    report.advance(len(rows), int((~batch.readable).sum()), job.waits.bound)
                with job.waits.on(WRITING):
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
