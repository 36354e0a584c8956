"""What was acknowledged survives a loss of power: shards, finished caches, prompt sets, runs, cells of a bench."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import adapters
import featcache
from adapters.bench import benchmark
from adapters.fitting.fit import fit
from adapters.runs.catalogue import read_run
from featcache.cache import plan
from featcache.cache.plan import Shard
from featcache.cache.writing import CacheStore, ShardResult
from featcache.extraction.add_text import add_prompt_set
from featcache.places.folder import Folder
from featcache.verification.verify import verify_store
from tests.faults.conftest import Faults
from tests.faults.power import PowerLoss
from tests.faults.shim import Fault, Operation, Shim
from tests.faults.work import content_of, extract


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path, Shim], Any]], Any]:
    """Records what a function does below a folder; returns the folder and the operations."""
    monkeypatch.setattr(plan, "SECONDS_PER_SHARD", 1e-9)

    def record(work: Callable[[Path, Shim], Any]) -> tuple[Path, list[Operation]]:
        below = tmp_path / "recorded"
        below.mkdir()
        shim = Shim(Fault(str(below)))
        shim.recording = True
        with shim.standing():
            work(below, shim)
        return below, shim.operations

    return record


def moments(faults: Faults, operations: list[Operation], short: int, long: int) -> list[int]:
    """When the power fails: after so many operations."""
    return [faults.rng.randint(0, len(operations)) for _ in range(long if faults.long else short)]


def test_shards_and_a_finished_cache(
    recorded: Any, photos: Path, tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(root: Path, shim: Shim) -> None:
        write = CacheStore.write

        def told(self: CacheStore, result: ShardResult) -> None:
            write(self, result)
            shim.say(f"{result.shard.split} {result.shard.start} {result.shard.stop}")

        with monkeypatch.context() as patched:
            patched.setattr(CacheStore, "write", told)
            extract(photos, root)
        shim.say("finished")

    below, operations = recorded(work)
    expected = content_of(featcache.open("c", below))
    survived, times = 0, 0
    for number in [len(operations), *moments(faults, operations, 4, 200)]:
        loss, root = PowerLoss(below, operations[:number]), tmp_path / "after"
        loss.rebuild(root, faults.rng)
        folder = Folder(str(root / "caches" / "c"))
        if loss.acknowledged:
            found = verify_store(folder)
            missing = {f"{shard.split} {shard.start} {shard.stop}" for shard in found.shards}
            assert not missing & set(loss.acknowledged)
            todo = sum(shard_rows(line) for line in loss.acknowledged if line != "finished")
            assert sum(found.rows.values()) - found.missing >= todo
            assert not found.listings
            assert not found.prompt_sets
            survived += len(loss.acknowledged)
        times += 1
        if "finished" in loss.acknowledged:
            assert content_of(featcache.open("c", root)) == expected
        assert content_of(extract(photos, root)) == expected, number
        shutil.rmtree(root)
    assert survived
    faults.tell(
        f"power lost {times} times in {len(operations)} operations of extract, {survived} acknowledged shards there"
    )


def shard_rows(line: str) -> int:
    split, start, stop = line.split()
    return len(Shard(split, int(start), int(stop)))


def test_a_prompt_set_is_the_old_one_or_the_new_one(
    recorded: Any, photos: Path, tmp_path: Path, faults: Faults
) -> None:
    templates = tmp_path / "mine.txt"

    def add(root: Path, text: str) -> None:
        templates.write_text(text)
        add_prompt_set(Folder(str(root / "caches" / "c")), str(templates), name="m", default=True, device="cpu")

    def work(root: Path, shim: Shim) -> None:
        extract(photos, root)
        for text in ("a {}.\n", "one {}.\nanother {}.\n"):
            add(root, text)
            shim.say(text)

    below, operations = recorded(work)
    begun = next(number for number, done in enumerate(operations) if done.kind == "acknowledged")
    new = featcache.open("c", below).text.prompts
    for number in [
        len(operations),
        *(faults.rng.randint(begun + 1, len(operations)) for _ in range(200 if faults.long else 3)),
    ]:
        loss, root = PowerLoss(below, operations[:number]), tmp_path / "after"
        loss.rebuild(root, faults.rng)
        cache = featcache.open("c", root)
        assert verify_store(cache.folder).problems == []
        assert len(cache.text.prompts[0]) in (1, 2)
        if len(loss.acknowledged) == 2:
            assert cache.text.prompts == new
        add(root, "one {}.\nanother {}.\n")
        assert featcache.open("c", root).text.prompts == new
        shutil.rmtree(root)
    faults.tell(f"power lost {200 if faults.long else 3} times while a prompt set was replaced")


def test_a_saved_run_is_the_old_one_or_the_new_one(recorded: Any, photos: Path, tmp_path: Path, faults: Faults) -> None:
    cache = extract(photos, tmp_path / "caches-of-all")

    def work(root: Path, shim: Shim) -> None:
        for shots in (1, 2):
            fit("tip", cache=cache, shots=shots, out=root / "run", device="cpu")
            shim.say(str(shots))

    below, operations = recorded(work)
    for number in [len(operations), *moments(faults, operations, 20, 1000)]:
        loss, root = PowerLoss(below, operations[:number]), tmp_path / "after"
        loss.rebuild(root, faults.rng)
        if loss.acknowledged or (root / "run").exists():
            head = adapters.load(root / "run")
            assert head.classes_.tolist() == [0, 1, 2]
            run = read_run(root / "run")
            assert run.require_report().shots >= int(max(loss.acknowledged, default="1"))
            assert {path.name for path in (root / "run").iterdir()} == {path.name for path in (below / "run").iterdir()}
        shutil.rmtree(root)
    faults.tell(f"power lost {1000 if faults.long else 20} times while a run was saved and replaced")


def test_cells_of_a_bench(recorded: Any, photos: Path, tmp_path: Path, faults: Faults) -> None:
    cache = extract(photos, tmp_path / "caches-of-all")

    def bench(folder: Path) -> benchmark.Results:
        return benchmark.run("tip", caches=[cache], shots=(1, 2), seeds=(1,), out=folder, device="cpu")

    def work(root: Path, shim: Shim) -> None:
        add = benchmark.Store.add

        def told(self: benchmark.Store, cell: Any, records: Any) -> None:
            add(self, cell, records)
            shim.say(f"{cell.key}.json")

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(benchmark.Store, "add", told)
            bench(root / "bench")

    below, operations = recorded(work)
    for number in [len(operations), *moments(faults, operations, 3, 300)]:
        loss, root = PowerLoss(below, operations[:number]), tmp_path / "after"
        loss.rebuild(root, faults.rng)
        results = bench(root / "bench")
        assert results.found >= len(loss.acknowledged)
        assert results.ran + results.found == 4
        shutil.rmtree(root)
    faults.tell(f"power lost {300 if faults.long else 3} times during a bench")


def test_without_waiting_for_the_disk_it_is_lost(
    recorded: Any, tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulation does lose what is only renamed into place."""
    from featcache.places import whole

    monkeypatch.setattr(whole, "settle", lambda path: None)
    below, operations = recorded(lambda root, shim: whole.write_whole(root / "file", b"content"))
    seen = set()
    for number in range(50):
        PowerLoss(below, operations).rebuild(tmp_path / str(number), faults.rng)
        seen.add(tuple(sorted(os.listdir(tmp_path / str(number)))))
    assert () in seen
    assert ("file",) in seen
