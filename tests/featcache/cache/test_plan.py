from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from featcache.cache.plan import MOST_BYTES, MOST_SHARDS, ROWS_PER_CHUNK, ShardPlan

rows = st.dictionaries(st.sampled_from(["train", "val", "test"]), st.integers(0, 3_000_000), min_size=1)


@given(rows=rows, batch=st.integers(1, 512), speed=st.floats(0.01, 1e6))
def test_shards_cover_every_row_once_in_whole_batches(rows: dict[str, int], batch: int, speed: float) -> None:
    plan = ShardPlan.for_speed(rows, batch_size=batch, rows_per_second=speed, bytes_per_row=4096)
    assert plan.rows_per_shard % batch == 0
    assert plan.rows_per_shard % plan.rows_per_chunk == 0
    assert plan.rows_per_chunk <= ROWS_PER_CHUNK
    assert plan.rows_per_chunk > ROWS_PER_CHUNK // 2 or plan.rows_per_chunk == plan.rows_per_shard
    for split, count in rows.items():
        shards = list(plan.shards(split))
        assert len(shards) <= MOST_SHARDS
        assert [shard.start for shard in shards] == list(range(0, count, plan.rows_per_shard))
        assert sum(map(len, shards)) == count


@given(batch=st.integers(1, 300), count=st.integers(1, 5_000), first=st.floats(0.1, 1e4), second=st.floats(0.1, 1e4))
def test_batches_do_not_depend_on_the_plan(batch: int, count: int, first: float, second: float) -> None:
    """A machine that measures another speed must still encode the same rows together."""

    def batches(speed: float) -> list[range]:
        plan = ShardPlan.for_speed({"train": count}, batch_size=batch, rows_per_second=speed, bytes_per_row=4096)
        return [part for shard in plan.shards("train") for part in plan.batches(shard)]

    assert batches(first) == batches(second)


def test_a_lost_shard_costs_under_a_minute_or_one_batch() -> None:
    slow = ShardPlan.for_speed({"train": 100_000}, batch_size=32, rows_per_second=3, bytes_per_row=2048)
    assert slow.rows_per_shard / 3 <= 60
    fast = ShardPlan.for_speed({"train": 1_281_167}, batch_size=256, rows_per_second=10_000, bytes_per_row=4096)
    assert fast.rows_per_shard * 4096 <= MOST_BYTES
    assert fast.rows_per_shard / 10_000 <= 60


def test_a_huge_set_on_a_slow_machine_keeps_its_shards_countable() -> None:
    plan = ShardPlan.for_speed({"train": 14_000_000}, batch_size=32, rows_per_second=3, bytes_per_row=2048)
    assert len(list(plan.shards("train"))) <= MOST_SHARDS


def test_plan_survives_the_manifest() -> None:
    plan = ShardPlan.for_speed({"train": 70, "test": 5}, batch_size=4, rows_per_second=1, bytes_per_row=4)
    manifest = {"plan": {"rows": plan.rows, "rows_per_shard": plan.rows_per_shard}, "identity": {"batch_size": 4}}
    assert ShardPlan.from_manifest(manifest) == plan
