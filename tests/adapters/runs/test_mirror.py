"""Runs of a root behind a URL are kept there, and found from another machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import adapters
import featcache
from adapters.commands.fit import report_page
from adapters.errors import AdapterError, RunError
from adapters.fitting.fit import fit
from adapters.predicting.found import check_paths
from adapters.runs import mirror
from adapters.runs.catalogue import SavedRun, find_run, list_runs
from adapters.runs.evaluate import evaluate
from adapters.runs.folder import EVERY_RUN_FILES
from featcache.errors import CacheError
from featcache.places import home
from featcache.places.folder import Folder
from tests.buckets import serving
from tests.conftest import ImageFolder
from tests.pages import texts

ROOT = "s3://bucket/root"


def move_to(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on at another machine, which has no copies yet."""
    monkeypatch.setattr(home, "DEFAULT_HOME", str(machine))
    monkeypatch.delenv("FEATCACHE_HOME", raising=False)


def test_a_run_saved_in_a_bucket_is_listed_scored_and_replaced_elsewhere(
    image_folder: ImageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = {"workers": 0, "device": "cpu", "progress": False, "root": ROOT}
    with serving(monkeypatch, module="benchmarks.object_server"):
        move_to(tmp_path / "here", monkeypatch)
        assert list_runs(ROOT) == []
        cache = featcache.extract("tiny", str(image_folder(classes=2, per_class=12)), **how)  # type: ignore[arg-type]
        report = fit("linear", cache=cache, shots=1, root=ROOT, device="cpu")
        there = Folder(f"{ROOT}/runs")
        assert mirror.kept_at(str(report.run), ROOT) in texts(report_page(report, ROOT))
        assert {name.rpartition("/")[2] for name in there.files()} == {
            "config.json",
            "model.safetensors",
            "README.md",
            "metrics.json",
            "indices.json",
        }
        move_to(tmp_path / "elsewhere", monkeypatch)
        (run,) = list_runs(ROOT)
        assert run.require_report().accuracy == report.accuracy
        assert not (run.path / "model.safetensors").exists()  # heads are fetched when they are asked for
        assert evaluate(run.path, root=ROOT, device="cpu").reproduced
        assert evaluate(run.name, root=ROOT, device="cpu").reproduced
        url = mirror.kept_at(run.path, ROOT)
        assert url == f"{ROOT}/runs/{run.path.parent.parent.name}/{run.path.parent.name}/{run.name}"
        assert find_run(url).path == run.path
        with pytest.raises(RunError, match="behind a URL a run is ROOT/runs/DATASET/MODEL/RUN"):
            find_run(f"{ROOT}/{run.name}")
        with pytest.raises(AdapterError, match=r"no such file or folder: s3://bucket/a\.png; download it first"):
            check_paths(["s3://bucket/a.png"])

        move_to(tmp_path / "here", monkeypatch)
        fit("linear", cache=cache, shots=1, root=ROOT, device="cpu")
        move_to(tmp_path / "elsewhere", monkeypatch)
        (again,) = list_runs(ROOT)
        assert again.require_report().created > run.require_report().created
        assert not (again.path / "model.safetensors").exists()
        there.remove_folder(next(name for name in there.files()).rpartition("/")[0])
        assert list_runs(ROOT) == []
        with pytest.raises(RunError, match="nothing is saved yet"):
            find_run("linear", root=ROOT)


class Bucket(Folder):
    """Runs' files in memory; `before_write` is called with each name that is to be written."""

    def __init__(self, before_write: Callable[[str], object]) -> None:
        self.held: dict[str, bytes] = {}
        self.before_write = before_write

    def files(self, subfolder: str = "") -> list[str]:
        return sorted(name for name in self.held if name.startswith(subfolder))

    def read(self, name: str) -> bytes:
        if name not in self.held:
            raise FileNotFoundError(name)
        return self.held[name]

    def write(self, name: str, content: bytes) -> None:
        self.before_write(name)
        self.held[name] = content

    def remove(self, *names: str) -> None:
        for name in names:
            self.held.pop(name, None)

    def runs(self) -> list[str]:
        """The names of the runs that count."""
        return [name.split("/")[-2] for name in self.files() if name.endswith("metrics.json")]


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """What is behind `ROOT`, seen from a machine without copies."""
    move_to(tmp_path / "here", monkeypatch)
    made = Bucket(lambda name: None)
    monkeypatch.setattr(mirror, "Folder", lambda location: made)
    return made


def fails(name: str) -> None:
    raise CacheError(f"{name} cannot be reached")


def names(runs: list[SavedRun]) -> set[str]:
    return {run.name for run in runs}


@pytest.mark.parametrize("next_chance", ["list", "fit"])
def test_a_run_whose_push_failed_stays_and_is_pushed_at_the_next_chance(
    make_cache: Callable[..., Any], bucket: Bucket, next_chance: str
) -> None:
    cache = make_cache()
    bucket.before_write = fails
    with pytest.raises(CacheError, match="cannot be reached"):
        fit("zero-shot", cache=cache, shots=1, root=ROOT)
    (run,) = list_runs(ROOT)
    assert run.report
    assert adapters.load(run.path)
    assert not bucket.runs()

    bucket.before_write = lambda name: None
    if next_chance == "fit":
        fit("zero-shot", cache=cache, shots=1, seed=2, root=ROOT)
    else:
        list_runs(ROOT)
    assert run.name in bucket.runs()
    written: list[str] = []
    bucket.before_write = written.append
    assert names(list_runs(ROOT)) == set(bucket.runs())
    assert not written  # once is enough


def test_a_run_fitted_anew_whose_push_failed_replaces_the_old_one_and_is_not_replaced_by_it(
    make_cache: Callable[..., Any], bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make_cache()
    first = fit("zero-shot", cache=cache, shots=1, root=ROOT)
    move_to(tmp_path / "elsewhere", monkeypatch)
    list_runs(ROOT)
    move_to(tmp_path / "here", monkeypatch)
    bucket.before_write = fails
    with pytest.raises(CacheError):
        fit("zero-shot", cache=cache, shots=1, root=ROOT)
    (again,) = list_runs(ROOT)
    assert again.require_report().created > first.created
    move_to(tmp_path / "elsewhere", monkeypatch)
    (there,) = list_runs(ROOT)
    assert there.require_report().created == first.created  # what another machine has stays until the push is done
    find_run(there.path, root=ROOT)
    assert not (there.path / "model.safetensors").exists()  # which may be of either
    bucket.before_write = lambda name: None
    for machine in ("here", "elsewhere"):
        move_to(tmp_path / machine, monkeypatch)
        (there,) = list_runs(ROOT)
        assert there.require_report().created == again.require_report().created


def test_listing_beside_a_push_leaves_the_run_to_it(make_cache: Callable[..., Any], bucket: Bucket) -> None:
    beside: list[SavedRun] = []
    written: list[str] = []

    def list_meanwhile(name: str) -> None:
        written.append(name)
        beside.extend(list_runs(ROOT))

    bucket.before_write = list_meanwhile
    report = fit("zero-shot", cache=make_cache(), shots=1, root=ROOT)
    assert names(beside) == {Path(report.run).name}
    assert len(written) == len(set(written)) == len(EVERY_RUN_FILES)
    assert names(list_runs(ROOT)) == names(beside) == set(bucket.runs())
    bucket.held.clear()
    assert list_runs(ROOT) == []  # now that the store had it, it is gone with the store's


def test_a_report_that_another_machine_replaces_meanwhile_is_not_waited_for(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "files", lambda: ["shapes/tiny-local/tip-1shot-seed1-aaaaaaaa/metrics.json"])
    assert list_runs(ROOT) == []
