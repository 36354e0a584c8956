from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adapters.commands.saved.runs import runs_json, runs_page
from adapters.runs.catalogue import SavedRun
from tests.adapters.reports import WIDE
from tests.pages import assert_all_is_told, texts


def test_all_is_told_at_any_width(tmp_path: Path) -> None:
    names = ("eurosat/ViT-H-14-378-quickgelu-dfn5b/multi-modal-adapter-16shot-seed1-val-kshot-12345678", "b/c/d")
    reports = (WIDE, replace(WIDE, select="oracle"))
    saved = [SavedRun(tmp_path / name, report) for name, report in zip(names, reports, strict=True)]
    saved.append(SavedRun(tmp_path / "a/b/torn", None, "metrics.json is not a JSON object"))
    page = runs_page(saved, tmp_path, str(tmp_path))
    assert_all_is_told(page)
    assert {*names, "ORACLE", "75.00 %", "a/b/torn: metrics.json is not a JSON object"} <= set(texts(page))
    assert [run["problem"] for run in runs_json(saved)["runs"]] == [None, None, "metrics.json is not a JSON object"]


def test_an_empty_root_says_what_to_type(tmp_path: Path) -> None:
    assert "adapters fit --shots 4" in "".join(runs_page([], tmp_path, str(tmp_path)).lines())


def test_a_run_may_be_a_link_to_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs/a/b").mkdir(parents=True)
    (tmp_path / "runs/a/b/linked").symlink_to(tmp_path / "elsewhere")
    page = runs_page([SavedRun(tmp_path / "runs/a/b/linked", WIDE)], tmp_path / "runs", "s3://bucket/runs")
    assert "a/b/linked" in texts(page)
