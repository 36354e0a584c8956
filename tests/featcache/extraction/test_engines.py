"""The list of engines: any of them gives the same cache, and none is part of what it is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

import featcache
from featcache.cache.plan import Shard
from featcache.errors import DataError
from featcache.extraction.engine import Job, Write, empty_result, fill
from featcache.extraction.engines import DEFAULT_ENGINE, ENGINES
from featcache.extraction.local_engine import LocalEngine
from featcache.extraction.request import Request
from featcache.progress import Reporter
from tests.conftest import ImageFolder


class OneByOne:
    """This process alone, a shard at a time."""

    shards = 0

    def run(self, job: Job, shards: Sequence[Shard], write: Write, report: Reporter) -> None:
        for shard in shards:
            result, batches = empty_result(shard, job), list(job.plan.batches(shard))
            encoded = job.encode([(shard.split, rows) for rows in batches])
            for rows, (batch, embeddings) in zip(batches, encoded, strict=True):
                fill(result, rows, batch, embeddings, job)
            write(result)
            OneByOne.shards += 1


def test_each_engine_says_in_a_line_where_it_runs() -> None:
    assert ENGINES[DEFAULT_ENGINE] is LocalEngine
    for name in ENGINES:
        assert str(ENGINES[name].__doc__).splitlines()[0].endswith(".")


def test_an_engine_is_a_file_and_a_line_and_gives_the_same_cache(
    root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("toy_engine")
    module.OneByOne = OneByOne  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_engine", module)
    monkeypatch.setitem(ENGINES.homes, "toy", "toy_engine:OneByOne")
    folder = str(image_folder())
    local = featcache.extract("tiny", folder, name="one", batch_size=4, workers=0, device="cpu", progress=False)
    toy = featcache.extract(
        "tiny", folder, name="two", batch_size=4, workers=0, device="cpu", engine="toy", progress=False
    )
    assert OneByOne.shards > 0
    assert toy.digest == local.digest
    assert toy.manifest["request"] == local.manifest["request"]
    for split in local.splits:
        assert toy[split].images.tobytes() == local[split].images.tobytes()
    again = featcache.extract("tiny", folder, name="two", device="cpu", progress=False)  # by another engine: as it is
    assert again.completion == toy.completion


def test_an_unknown_engine_is_refused_before_anything_is_done() -> None:
    with pytest.raises(DataError, match="engine is 'remote'; expected local"):
        Request(model="tiny", dataset="digits", engine="remote")
