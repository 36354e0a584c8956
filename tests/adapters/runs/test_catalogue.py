from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.errors import RunError
from adapters.runs.catalogue import find_run, list_runs
from adapters.runs.report import Report
from tests.adapters.reports import REPORT


def add(root: Path, name: str, created: str = "2026-01-01", place: str = "eurosat/ViT-B-16-openai") -> Path:
    folder = root / "runs" / place / name
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({**REPORT.to_json(), "created": created}))
    return folder


def test_a_report_survives_json() -> None:
    content = json.loads(json.dumps(REPORT.to_json()))
    assert Report.from_json(content) == REPORT
    assert Report.from_json({**content, "from a later version": 1}) == REPORT


def test_a_report_has_the_keys_that_scripts_rely_on() -> None:
    what = {"method", "dataset", "model", "shots", "seed", "select", "hyperparameters", "cache"}
    found = {"accuracy", "ece", "seconds", "parameters", "run"}
    assert what | found <= set(REPORT.to_json())


def test_runs_are_listed_newest_first_and_broken_ones_with_the_reason(tmp_path: Path) -> None:
    old = add(tmp_path, "clip-1shot-seed1-aaaaaaaa", "2026-01-01")
    new = add(tmp_path, "clip-1shot-seed2-bbbbbbbb", "2026-01-02")
    empty, cut, other = (add(tmp_path, f"tip-{n}shot-seed1-cccccccc", "2026-02-01") for n in (1, 2, 4))
    (empty / "metrics.json").unlink()
    (cut / "metrics.json").write_text('{"method": "cl')
    (other / "metrics.json").write_text('{"method": "clip"}')
    add(tmp_path, ".clip-1shot-seed1-aaaaaaaa.xyz")  # being written
    runs = list_runs(str(tmp_path))
    assert [run.path for run in runs] == [new, old, empty, cut, other]
    assert [run.problem for run in runs] == [
        None,
        None,
        "it has no metrics.json",
        "metrics.json is damaged: it is not JSON (Unterminated string starting at: line 1 column 12 (char 11))",
        "metrics.json is damaged: object missing required field dataset",
    ]
    assert runs[0].require_report().run == str(new)  # where it is, not where it was saved
    with pytest.raises(RunError, match=r"is broken or was saved from Python \(it has no metrics.json\)"):
        runs[2].require_report()


def test_no_runs_yet_is_an_empty_list(tmp_path: Path) -> None:
    assert list_runs(str(tmp_path)) == []
    with pytest.raises(RunError, match="nothing is saved yet"):
        find_run("clip", root=str(tmp_path))


def test_a_run_is_found_by_path_and_by_name(tmp_path: Path) -> None:
    first = add(tmp_path, "clip-4shot-seed1-aaaaaaaa")
    add(tmp_path, "clip-4shot-seed1-val-bbbbbbbb")
    elsewhere = add(tmp_path / "mine", "x", place="a/b")
    root = str(tmp_path)
    assert find_run(elsewhere, root=root).path == elsewhere
    assert find_run("clip-4shot-seed1-aaaaaaaa", root=root).path == first
    assert find_run("clip-4shot-seed1", root=root).path == first  # the name without its digest, exactly
    assert find_run("clip-4shot-seed1-a", root=root).path == first  # a unique start
    assert find_run("eurosat/ViT-B-16-openai/clip-4shot-seed1", root=root).path == first


def test_an_ambiguous_name_lists_the_candidates(tmp_path: Path) -> None:
    add(tmp_path, "clip-4shot-seed1-aaaaaaaa")
    add(tmp_path, "clip-4shot-seed2-bbbbbbbb")
    with pytest.raises(RunError, match=r"2 runs are called clip-4: type one of eurosat/.*aaaaaaaa, eurosat/.*bbbbbbbb"):
        find_run("clip-4", root=str(tmp_path))


def test_an_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    add(tmp_path, "clip-4shot-seed1-aaaaaaaa")
    with pytest.raises(RunError, match="did you mean clip-4shot-seed1-aaaaaaaa"):
        find_run("clap-4shot-seed1", root=str(tmp_path))


def test_a_regime_of_another_version_is_a_problem(tmp_path: Path) -> None:
    folder = add(tmp_path, "clip-4shot-seed1-aaaa1111")
    content = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({**content, "select": "tomorrow's"}))
    [run] = list_runs(str(tmp_path))
    assert run.report is None
    assert "tomorrow's" in str(run.problem)
