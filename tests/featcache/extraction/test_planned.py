"""What a plan says of the work that is left. What the command prints of it is in commands/test_extract.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from featcache.cache import layout, plan
from featcache.cache.writing import CacheStore
from featcache.extraction.extract import run_extraction
from featcache.extraction.planned import planned
from featcache.extraction.request import Request
from tests.conftest import ImageFolder


def test_views_are_work_too_and_a_damaged_record_is_work_again(
    root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "SECONDS_PER_SHARD", 0.0)  # a shard a batch
    request = Request(
        model="tiny", dataset=str(image_folder()), views=3, batch_size=4, workers=0, device="cpu", root=root
    )
    before = planned(request)
    train = before.rows["train"]
    assert (before.rows_left, before.pictures_left) == (sum(before.rows.values()), before.rows_left + 3 * train)
    cache = run_extraction(request, progress=False).cache
    assert planned(request).finished
    store = CacheStore(cache.folder, cache.manifest)
    shard = next(store.plan.shards("train"))
    store.forget(shard)
    left = planned(request)
    assert (left.rows_left, left.pictures_left) == (len(shard), 4 * len(shard))
    assert left.images_per_second is not None
    assert left.seconds_left == pytest.approx(4 * len(shard) / left.images_per_second)
    first, *others = store.plan.shards("test")
    assert others
    record = Path(cache.path, layout.chunk(first, layout.STATE, store.plan))
    record.write_bytes(b"no chunk")
    damaged = planned(request)
    assert (damaged.done, damaged.rows_left) == (left.done - 1, left.rows_left + len(first))  # type: ignore[operator]
    assert record.exists()  # a plan changes nothing
    assert store.pending("test") == [first]
    assert not record.exists()
