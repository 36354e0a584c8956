"""Runs of a root behind a URL are kept there, and found from another machine."""

from __future__ import annotations

from pathlib import Path

import pytest

import featcache
from adapters.errors import RunError
from adapters.fitting.fit import fit
from adapters.runs.catalogue import find_run, list_runs
from adapters.runs.evaluate import evaluate
from featcache.places import home
from featcache.places.folder import Folder
from tests.buckets import serving
from tests.conftest import ImageFolder

ROOT = "s3://bucket/root"


def move_to(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on at another machine, which has no copies yet."""
    monkeypatch.setattr(home, "DEFAULT_HOME", str(machine))


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
