"""A sound chunk in another's place is found without encoding, and its shard alone is encoded again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import featcache
from featcache.cache.plan import Shard, ShardPlan
from featcache.cache.reading import read_manifest
from featcache.cache.sealed import ShardSeal
from featcache.cache.writing import CacheStore
from featcache.verification.verify import verify
from tests.featcache.verification.test_verify import extract_again
from tests.manifests import without_seals

SWAPS = [
    ("train/images/c/1/0", "train/images/c/2/0"),
    ("train/views/c/1/0/0", "train/views/c/2/0/0"),
    ("train/content/c/1/0", "train/content/c/2/0"),
    ("train/seals/c/1/0", "train/seals/c/2/0"),
    ("train/images/c/1/0", "test/images/c/0/0"),
    ("train/images/c/1/0", "train/views/c/1/0/0"),
]


def swap(one: Path, other: Path) -> None:
    before = one.read_bytes(), other.read_bytes()
    assert len(before[0]) == len(before[1])
    assert before[0] != before[1]
    one.write_bytes(before[1])
    other.write_bytes(before[0])


def shard_at(cache: featcache.Cache, chunk: str) -> str:
    split, number = chunk.split("/")[0], int(chunk.split("/")[3])
    return str(list(ShardPlan.from_manifest(cache.manifest).shards(split))[number])


def written(cache: featcache.Cache) -> dict[str, int]:
    return {
        f"{path.relative_to(cache.path)}": path.stat().st_mtime_ns
        for path in Path(cache.path).rglob("state/c/*")
        if path.is_file()
    }


def test_swapped_chunks_are_found_and_their_shards_alone_encoded_again(cache: featcache.Cache) -> None:
    expected = {split: (cache[split].images.tobytes(), cache[split].ids.tolist()) for split in cache.splits}
    for pair in SWAPS:
        places = [Path(cache.path, name) for name in pair]
        swap(*places)
        found = verify(cache.folder, sample=0)
        assert {problem.partition(":")[0] for problem in found.problems} == {shard_at(cache, name) for name in pair}
        swap(*places)
    assert verify(cache.folder, sample=0).problems == []
    swap(*(Path(cache.path, name) for name in SWAPS[0]))
    before = written(cache)
    assert verify(cache.folder, sample=0, repair=True).repaired
    again = extract_again(cache)
    assert {split: (again[split].images.tobytes(), again[split].ids.tolist()) for split in again.splits} == expected
    assert verify(again.folder, sample=0).problems == []
    changed = {name for name, when in written(again).items() if when != before[name]}
    (unreadable,) = again.folder.names("bad")  # its shard is tried again
    split, row = unreadable.removesuffix(".json").split("-")
    assert changed == {"train/state/c/1", "train/state/c/2", f"{split}/state/c/{int(row) // 4}"}


def test_a_shard_of_another_cache(cache: featcache.Cache) -> None:
    folder = cache.manifest["provenance"]["request"]["dataset"]
    other = featcache.extract(
        "tiny", folder, name="other", limit=20, batch_size=4, workers=0, views=1, on_error="skip",
        device="cpu", progress=False,
    )  # fmt: skip
    for array in ("images/c/1/0", "views/c/1/0/0", "content/c/1/0", "seals/c/1/0", "state/c/1"):
        shutil.copy(Path(other.path, "train", array), Path(cache.path, "train", array))
    (problem,) = verify(cache.folder, sample=0).problems
    assert problem.startswith("train rows 4-7: not what was written")


def test_two_prompt_sets_swapped(cache: featcache.Cache, tmp_path: Path) -> None:
    from featcache.extraction.add_text import add_prompt_set

    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(f"a {name} {{}}.\n")
        add_prompt_set(cache.folder, str(tmp_path / f"{name}.txt"), name=name, default=False, device="cpu")
    one, two = (next(Path(cache.path, "text").glob(f"{name}-*/features/c/0/0/0")) for name in ("one", "two"))
    swap(one, two)
    assert verify(cache.folder, sample=0).problems == ["prompt set one: damaged", "prompt set two: damaged"]
    with pytest.raises(featcache.errors.CacheIncomplete, match="not those that were written"):
        featcache.open(cache.path).text_set("one")


def test_a_cache_from_before_seals_verifies_and_goes_on_without(cache: featcache.Cache) -> None:
    images = cache["train"].images.tobytes()
    without_seals(cache)
    assert verify(cache.folder, sample=0).problems == []
    store = CacheStore(cache.folder, read_manifest(cache.folder))
    store.forget(next(store.plan.shards("train")))
    again = extract_again(cache)
    assert again["train"].images.tobytes() == images
    assert "seals" not in again.folder.names("train")
    assert verify(again.folder, sample=0).problems == []


def test_a_seal_is_of_the_cache_the_place_and_every_value() -> None:
    def seal(cache: str = "a", start: int = 0, value: float = 1.0, name: str = "images") -> bytes:
        of = ShardSeal(cache, Shard("train", start, start + 2))
        of.add(name, np.array([[value], [np.nan]], np.float16))
        return of.digest().tobytes()

    assert seal() == seal()
    assert len({seal(), seal("b"), seal(start=2), seal(value=1.001), seal(name="views")}) == 5
    big = ShardSeal("a", Shard("train", 0, 2))
    big.add("images", np.array([[1.0], [np.nan]], ">f2"))
    assert big.digest().tobytes() == seal()
