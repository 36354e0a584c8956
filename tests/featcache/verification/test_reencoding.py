"""A sample is encoded again and compared with the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import featcache
from featcache.cache.plan import ShardPlan
from featcache.places.folder import array_in
from featcache.verification import reencoding
from featcache.verification.verify import verify
from tests.conftest import ImageFolder
from tests.manifests import made_from, without_seals


def test_embeddings_of_something_else_are_found_by_encoding_again(cache: featcache.Cache) -> None:
    without_seals(cache)  # which would tell before anything is encoded
    cache = featcache.open(cache.path)
    images = array_in(cache.folder.group("a"), "train/images")
    shuffled, readable = np.asarray(images[:]), cache["train"].valid
    shuffled[readable] = shuffled[readable][::-1]
    images[:] = shuffled
    found = verify(cache.folder, sample=1000)
    assert any("1 - cosine" in problem and ".png" in problem for problem in found.problems)
    assert found.largest_difference is not None
    assert found.largest_difference > 1e-3


def test_a_cache_of_a_gpu_can_be_verified_and_given_prompts_on_a_cpu(
    root: Path, image_folder: ImageFolder, tmp_path: Path
) -> None:
    folder = image_folder(per_class=5)
    cache = featcache.extract("tiny", str(folder), workers=0, device="cpu", progress=False)
    made_from(cache, lambda identity: identity["encoder"].update(precision="fp16"))
    assert verify(cache.folder, device="cpu").problems == []
    (tmp_path / "mine.txt").write_text("my {}\n")
    again = featcache.extract("tiny", str(folder), templates=tmp_path / "mine.txt", device="cpu", progress=False)
    assert again.text.name == "mine"


@pytest.mark.parametrize("rows", [{"train": 1000, "val": 0, "test": 7}, {"train": 64, "test": 129}])
@pytest.mark.parametrize("sampled", [1, 64, 5000])
def test_batches_are_chosen_as_from_a_list_of_all(rows: dict[str, int], sampled: int) -> None:
    plan = ShardPlan(rows, batch_size=8, rows_per_shard=24)
    every = [(split, part) for split in rows for shard in plan.shards(split) for part in plan.batches(shard)]
    count = min(len(every), -(-sampled // 8))
    chosen = np.random.default_rng(3).choice(len(every), size=count, replace=False)
    assert reencoding._sample_batches(plan, sampled, 3) == [every[number] for number in sorted(chosen)]
