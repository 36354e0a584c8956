"""A bench from caches to its files: planned, computed, kept, continued, shown."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

import featcache
from adapters import ZeroShot
from adapters.bench import benchmark, cells
from adapters.bench.benchmark import _compute, run
from adapters.bench.cells import Cell, plan
from adapters.bench.progress import CellReporter
from adapters.bench.protocols.settings import Settings
from adapters.bench.store import opened
from adapters.errors import AdapterError, RunError, TaskError
from adapters.fitting.fit import fit
from adapters.methods import METHODS
from adapters.selection.calibration import fit_temperature
from adapters.selection.regimes import NONE

Make = Callable[..., Any]


class Broken(ZeroShot):
    """Cannot be fitted on a single shot."""

    method = "broken"

    def fit(self, X: Any, y: Any, *, text: Any = None) -> Any:
        if len(y) <= 4:
            raise AdapterError("needs two shots a class")
        return super().fit(X, y, text=text)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("fake_heads")
    module.Broken = Broken  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fake_heads", module)
    monkeypatch.setitem(METHODS.homes, "broken", "fake_heads:Broken")


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_tidy_rows_in_every_file(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    results = run("tip,linear", caches=[cache], shots=[2, 1], seeds=[1, 2], out=tmp_path)
    assert (results.ran, results.found, results.methods) == (12, 0, ("zero-shot", "tip", "linear"))
    rows = rows_of(tmp_path)
    assert len(rows) == 12
    assert {(row["method"], row["shots"], row["seed"]) for row in rows} == {
        (m, k, s) for m in ("zero-shot", "tip", "linear") for k in "12" for s in "12"
    }
    typed = pq.read_table(tmp_path / "results.parquet").to_pylist()
    written = json.loads((tmp_path / "results.json").read_text())["rows"]
    for text, row, full in zip(rows, typed, written, strict=True):
        assert {name: str(value) for name, value in row.items()} == text
        bins = full.pop("reliability")
        assert full == row
        assert sum(bins["rows"]) == row["rows"] == 48
    one = next(row for row in typed if (row["method"], row["shots"], row["seed"]) == ("tip", 2, 2))
    report = fit("tip", cache=cache, shots=2, seed=2, out=tmp_path / "run")
    assert one["accuracy"] == report.accuracy["test"]
    assert one["ece"] == pytest.approx(report.ece["test"], abs=1e-12)
    assert json.loads(one["hyperparameters"]) == report.hyperparameters
    assert (one["cache_digest"], one["select"], one["parameters"]) == (cache.digest, "support", 0)


def test_a_finished_cell_is_not_run_again(make_cache: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = make_cache()
    first = run("tip", caches=[cache], shots=[1, 2], seeds=[1, 2], out=tmp_path)
    text = (tmp_path / "results.json").read_text()
    monkeypatch.setattr(Cell, "compute", lambda *_: pytest.fail("it was run again"))
    again = run("tip", caches=[cache], shots=[1, 2], seeds=[2, 1], out=tmp_path)
    assert (again.ran, again.found) == (0, 8)
    assert again.to_json()["rows"] == first.to_json()["rows"]
    assert again.text("markdown") == first.text("markdown")
    assert (tmp_path / "results.json").read_text() == text
    fewer = run("tip", caches=[cache], shots=[2], seeds=[1], out=tmp_path)
    assert len(fewer.records) == 2  # the table is of what was asked for
    assert len(rows_of(tmp_path)) == 8


@pytest.mark.parametrize(
    "change",
    [
        {"params": {"tip": {"alpha": 2.0}}},
        {"select": "val"},
        {"calibrate": True},
        {"prompts": "other"},
        {"protocol": "base-to-new"},
        {"seeds": [3]},
        {"shots": [3]},
    ],
)
def test_whatever_could_change_a_number_makes_another_cell(
    make_cache: Make, tmp_path: Path, change: dict[str, Any]
) -> None:
    asked: dict[str, Any] = {"caches": [make_cache()], "shots": [2], "seeds": [1], "out": tmp_path}
    run("tip", **asked)
    assert "tip" in {record.row.method for record in run("tip", **{**asked, **change}).records}
    assert len({row["key"] for row in rows_of(tmp_path) if row["method"] == "tip"}) == 2


def test_other_code_or_another_cache_is_another_cell(
    make_cache: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"shots": [1], "seeds": [1], "out": tmp_path}
    run("tip", caches=[make_cache()], **asked)
    assert run("tip", caches=[make_cache(rows=9)], **asked).ran == 2
    monkeypatch.setattr(cells, "code_digest", lambda *modules: "99")
    assert run("tip", caches=[make_cache()], **asked).ran == 2


KILLED = """
import os, signal, sys
import featcache
from adapters.bench.benchmark import run
from adapters.bench import store
from adapters.selection.regimes import NONE

add, count = store.Store.add, 0
def die_later(self, cell, records):
    global count
    add(self, cell, records)
    count += 1
    if count == 3:
        os.kill(os.getpid(), signal.SIGKILL)
store.Store.add = die_later
run("tip,linear", caches=[featcache.open(sys.argv[1])], shots=[1, 2], seeds=[1, 2], out=sys.argv[2])
"""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("root")
    return featcache.extract("tiny", "digits", limit=100, root=root, workers=0, progress=False)


def test_a_killed_bench_continues_to_the_same_table(digits: Any, tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, digits.path, str(tmp_path / "a")], cwd=Path(__file__).parents[2], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "a" / "cells").iterdir())) == 3
    assert not (tmp_path / "a" / "results.csv").exists()
    asked: dict[str, Any] = {"caches": [digits], "shots": [1, 2], "seeds": [1, 2]}
    continued = run("tip,linear", out=tmp_path / "a", **asked)
    assert (continued.ran, continued.found) == (9, 3)
    straight = run("tip,linear", out=tmp_path / "b", **asked)
    timed = ("seconds_fit", "seconds_predict", "created")

    def untimed(results: Any) -> list[dict[str, Any]]:
        return [{k: v for k, v in row.items() if k not in timed} for row in results.to_json()["rows"]]

    assert untimed(continued) == untimed(straight)
    assert len(rows_of(tmp_path / "a")) == 12
    np.testing.assert_array_equal(continued.records[4].correct, straight.records[4].correct)


def test_every_method_on_a_real_cache_with_selection_and_calibration(digits: Any, tmp_path: Path) -> None:
    results = run(
        "zero-shot,tip,tip-f,linear",
        caches=[digits],
        shots=[4],
        seeds=[1, 2],
        select="val",
        calibrate=True,
        out=tmp_path,
    )
    assert results.failures == ()
    lines = {line.method: line for line in results.blocks[0].lines}
    entry, baseline = lines["tip-f"].entries[0], lines["zero-shot"].entries[0]
    assert entry is not None
    assert baseline is not None
    assert entry.mean > baseline.mean > 0.6
    assert all(record.row.temperature != 1.0 for record in results.records)
    head = ZeroShot(logit_scale=digits.text.logit_scale)
    head.fit(digits.text.weights(), np.arange(10), text=digits.text)
    expected = fit_temperature(head.decision_function(digits["val"].images), digits["val"].labels)
    assert results.records[0].row.method == "zero-shot"
    assert results.records[0].row.temperature == pytest.approx(expected)
    assert "select: val" in results.title
    assert results.plot(tmp_path / "plot.svg").stat().st_size > 1000


def test_a_method_that_cannot_be_fitted_is_told_and_tried_again(
    make_cache: Make, tmp_path: Path, broken: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"caches": [make_cache()], "shots": [1, 2], "seeds": [1], "out": tmp_path}
    results = run("broken,tip", **asked)
    assert results.failures == ("FAILED broken, shapes-tiny, 1 shot, seed 1: needs two shots a class",)
    assert results.failures[0] in results.notes
    line = results.blocks[0].lines[1]
    assert line.method == "broken"
    assert line.entries[0] is None
    assert line.entries[1] is not None
    assert "| broken | none | – |" in results.text("markdown")
    again = run("broken,tip", **asked)
    assert (again.ran, again.found, len(again.failures)) == (0, 5, 1)


def test_what_would_fail_for_all_methods_fails_before_any_work(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache(rows=5, splits=("train", "test"))
    with pytest.raises(TaskError, match=r"class 'annual crop' has 5 images to draw from, expected 16"):
        run("tip", caches=[cache], shots=[1, 16], out=tmp_path / "a")
    with pytest.raises(TaskError, match="--select val needs a val split"):
        run("tip", caches=[cache], shots=[1], select="val", out=tmp_path / "a")
    with pytest.raises(AdapterError, match="no method 'tap'"):
        run("tap", caches=[cache], shots=[1], out=tmp_path / "a")
    with pytest.raises(AdapterError, match="tip has no option 'width'"):
        run("tip", caches=[cache], shots=[1], params={"tip": {"width": 1}}, out=tmp_path / "a")
    with pytest.raises(AdapterError, match="parameters of 'clip' given; the bench has zero-shot, tip"):
        run("tip", caches=[cache], shots=[1], params={"clip": {}}, out=tmp_path / "a")
    with pytest.raises(AdapterError, match="expected each once"):
        run("tip", caches=[cache, cache], shots=[1], out=tmp_path / "a")
    with pytest.raises(AdapterError, match="expected at least one cache"):
        run("tip", caches=[cache], shots=[], out=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    fewer = run("tip", caches=[cache], shots=[16], seeds=[1], allow_fewer=True, out=tmp_path / "a")
    assert any("fewer than 16 shots in 4 of 4 classes" in note for note in fewer.notes)


def test_two_benches_do_not_write_one_folder(make_cache: Make, tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"), pytest.raises(RunError, match=r"another bench is writing .*give another --out"):
        run("tip", caches=[make_cache()], shots=[1], out=tmp_path)


def test_a_damaged_cell_is_named(make_cache: Make, tmp_path: Path) -> None:
    run("tip", caches=[make_cache()], shots=[1], seeds=[1], out=tmp_path)
    path = next((tmp_path / "cells").iterdir())
    path.write_text(path.read_text()[:-9])
    with pytest.raises(RunError, match=f"{path.name} is damaged .*remove it"):
        run("tip", caches=[make_cache()], shots=[1], seeds=[1], out=tmp_path)


def test_the_default_folder_is_under_the_root(make_cache: Make, tmp_path: Path) -> None:
    results = run("tip", caches=[make_cache()], shots=[1], seeds=[1], root=str(tmp_path))
    assert results.folder == tmp_path / "bench" / "shapes-tiny-few-shot"


def test_several_caches_have_a_table_each_and_one_of_averages(make_cache: Make, tmp_path: Path) -> None:
    other = make_cache(rows=8, noise=0.9)
    other.name = "other"
    results = run("tip", caches=[make_cache(), other], shots=[2], seeds=[1, 2], out=tmp_path)
    first, second, average = results.blocks
    assert (first.title, second.title, average.title) == ("shapes-tiny", "other", "average of 2 caches")
    means = [block.lines[1].entries[0].mean for block in (first, second, average)]  # type: ignore[union-attr]
    assert means[2] == pytest.approx((means[0] + means[1]) / 2)


def test_cross_dataset_fits_on_the_first_cache_alone(make_cache: Make, tmp_path: Path) -> None:
    source, near, far = make_cache(), make_cache(rows=8), make_cache(rows=6)
    near.name, far.name = "near", "far"
    for target, names in ((near, "abcd"), (far, "wxyz")):
        target.texts = {"plain": replace(target.text, class_names=tuple(names))}
    results = run(
        "tip,clip",
        caches=[source, near, far],
        shots=[2],
        seeds=[1, 2],
        protocol="cross-dataset",
        prompts="other",  # of the source: the targets have no such set
        out=tmp_path,
    )
    (block,) = results.blocks
    assert block.columns == ("mean of targets", "shapes-tiny (source)", "near", "far")
    zero, tip, clip = block.lines
    assert zero.entries[0] is not None
    assert tip.entries[0] is not None
    assert clip.entries[2] is not None
    assert tip.entries[0].mean == zero.entries[0].mean
    assert (zero.entries[0].how, tip.entries[0].how, clip.entries[2].how) == ((), ("text",), ("for_classes",))
    assert {(row["cache"], row["test_cache"], row["rows"]) for row in rows_of(tmp_path)} == {
        ("shapes-tiny", "shapes-tiny", "48"),
        ("shapes-tiny", "near", "32"),
        ("shapes-tiny", "far", "24"),
    }
    assert results.plot(tmp_path / "plot.svg").exists()


def test_time_left_is_counted_by_method_and_shots(make_cache: Make) -> None:
    settings = Settings("few-shot", NONE, False, None, None, None, False, "cpu")
    cells = plan(["zero-shot", "tip"], {}, [make_cache()], [1, 2], [1, 2], settings)
    reporter = CellReporter(cells, found=3, shown=False)
    assert reporter.seconds_left() is None
    reporter.end(cells[0], 2.0)  # zero-shot, 1 shot
    assert reporter.seconds_left() == 7 * 2.0
    reporter.end(cells[1], 10.0)  # tip, 1 shot
    assert reporter.seconds_left() == 3 * 2.0 + 3 * 10.0
    reporter.end(cells[5], 40.0)  # tip, 2 shots
    assert reporter.seconds_left() == 3 * 2.0 + 10.0 + 40.0


def test_progress_goes_to_standard_error(make_cache: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("tip", caches=[make_cache()], shots=[1], seeds=[1], out=tmp_path, progress=True)
    told = capsys.readouterr()
    assert told.out == ""
    assert "2/2 cells" in told.err
    run("tip", caches=[make_cache()], shots=[1], seeds=[2], out=tmp_path)
    assert capsys.readouterr().err == ""


def test_an_interrupted_bench_leaves_tables_of_what_is_there(
    make_cache: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(cells: Any, store: Any, reporter: Any) -> Any:
        _compute(cells[:2], store, reporter)
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark, "_compute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("tip", caches=[make_cache()], shots=[1, 2], seeds=[1], out=tmp_path)
    assert len(rows_of(tmp_path)) == 2
    with opened(tmp_path):  # the lock is free again
        pass
