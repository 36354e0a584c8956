"""Writing in the background loses neither results nor errors."""

from __future__ import annotations

import numpy as np
import pytest

from featcache.cache.plan import Shard
from featcache.cache.writing import ShardResult
from featcache.extraction.encode_shards import BackgroundWriter


def result(start: int) -> ShardResult:
    return ShardResult(
        Shard("train", start, start + 1), np.zeros((1, 2)), None, np.ones(1, np.int8), np.zeros((1, 16), np.uint8)
    )


def submit_all(writer: BackgroundWriter, count: int, *, then_fail: bool = False) -> None:
    with writer:
        for start in range(count):
            writer.submit(result(start))
        if then_fail:
            raise RuntimeError("the encoder failed")


def test_results_are_written_in_order_also_after_an_error_of_the_encoder() -> None:
    written: list[int] = []
    with pytest.raises(RuntimeError, match="the encoder"):
        submit_all(BackgroundWriter(lambda done: written.append(done.shard.start)), 5, then_fail=True)
    assert written == [0, 1, 2, 3, 4]


def test_an_error_of_writing_comes_back_and_nothing_is_written_after_it() -> None:
    tried: list[int] = []

    def fail(done: ShardResult) -> None:
        tried.append(done.shard.start)
        raise OSError("the disk is full")

    for count in (1, 50):  # told at the end, or by the next result
        with pytest.raises(OSError, match="disk is full"):
            submit_all(BackgroundWriter(fail), count)
    assert tried == [0, 0]
