from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

import cli
from adapters.commands.fit import report_page
from adapters.runs.report import Report
from adapters.selection.regimes import REGIMES
from tests.adapters.reports import WIDE
from tests.pages import assert_all_is_told, drawn, texts
from tests.processes import imported, run


def test_fit_imports_neither_open_clip_nor_torchvision(root: Path) -> None:
    run("featcache", "extract", "--model", "tiny", "--dataset", "digits", "--limit", "50")
    assert imported(("adapters", "fit", "clip", "--shots", "2"), {"open_clip", "torchvision", "faiss"}) == set()


def test_all_is_told_at_any_width() -> None:
    interval = {"alpha": 0.2, "lo": 0.1, "hi": None, "accuracy": 0.9, "rows": 40, "chosen_on": "val"}
    report = replace(WIDE, select="val", note="a note " * 30, temperature=0.5, alpha_interval=interval)
    page = report_page(report, None)
    assert_all_is_told(page)
    assert {"75.00 %", "50.00 %", "40.00 %", REGIMES["val"].meaning, "temperature", "alpha"} <= set(texts(page))


def test_what_to_type_next_is_for_the_same_root() -> None:
    typed = [text for text in texts(report_page(WIDE, "a/b")) if text.startswith("adapters fit")]
    assert [text.split("   ")[0].endswith(" --root a/b") for text in typed] == [True]


def test_oracle_is_shouted() -> None:
    assert "select: ORACLE" in drawn(report_page(replace(WIDE, select="oracle"), None), 80)


def test_a_regime_needs_no_change_of_the_command() -> None:
    shown = " ".join(CliRunner().invoke(cli.adapters_app(), ["fit", "--help"], env={"COLUMNS": "300"}).stdout.split())
    assert f"<{'|'.join(REGIMES)}>" in shown
    assert all(f"{name}: {regime.meaning}" in shown for name, regime in REGIMES.items())


def test_options_of_the_method_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import featcache
    from adapters.fitting import fit

    asked: dict[str, Any] = {}

    def fake(method: str, **options: Any) -> Report:
        asked.update(options, method=method)
        return WIDE

    monkeypatch.setattr(fit, "fit", fake)
    monkeypatch.setattr(featcache, "open", lambda name, root: SimpleNamespace(name=name), raising=False)
    words = ["fit", "clip", "--lr", "0.5", "--shots", "4", "--cache", "a", "--meta-train", "b", "--meta-train", "c"]
    done = CliRunner().invoke(cli.adapters_app(), words)
    assert done.exit_code == 0, done.output
    assert (asked["method"], asked["params"], asked["shots"], asked["select"]) == ("clip", {"lr": 0.5}, 4, None)
    assert [asked["cache"].name, *(cache.name for cache in asked["meta_train"])] == ["a", "b", "c"]
