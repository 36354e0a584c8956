"""Saved runs side by side on the same test rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.commands.saved.compare import comparison_page
from adapters.errors import RunError
from adapters.fitting.fit import fit
from adapters.runs.compare import compare
from tests.pages import assert_all_is_told, texts

Make = Callable[..., Any]


def test_runs_are_compared_with_the_first(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache(60)
    reports = [
        fit("zero-shot", cache=cache, shots=4, root=str(tmp_path)),
        fit("clip", cache=cache, shots=4, root=str(tmp_path)),
        fit("clip", cache=cache, shots=4, params={"lr": 0.5}, root=str(tmp_path)),
    ]
    found = compare([report.run for report in reports], cache=cache)
    assert [each.scores.accuracy for each in found.runs] == [report.accuracy["test"] for report in reports]
    assert found.runs[0].less_first is None
    less = found.runs[1].less_first
    assert less is not None
    assert less.to_json() == reports[1].difference  # the first is zero-shot
    assert found.settings["method"] == ["zero-shot", "clip", "clip"]
    assert found.settings["lr"] == [None, 0.1, 0.5]
    assert "shots" not in found.settings
    assert json.loads(json.dumps(found.to_json()))["runs"][0]["less_first"] is None
    page = comparison_page(found)
    assert_all_is_told(page)
    assert "What differs in their settings" in texts(page)


def test_one_run_or_another_cache_is_refused(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    run = fit("zero-shot", cache=cache, shots=2, root=str(tmp_path)).run
    with pytest.raises(RunError, match="one run given; expected two or more"):
        compare([run], cache=cache)
    other = fit("zero-shot", cache=make_cache(20), shots=2, root=str(tmp_path), out=tmp_path / "other").run
    with pytest.raises(RunError, match="was fitted on cache"):
        compare([run, other], cache=cache)


def test_a_run_is_not_compared_with_itself(make_cache: Make, tmp_path: Path) -> None:
    report = fit("zero-shot", cache=make_cache(), shots=1, root=str(tmp_path))
    with pytest.raises(RunError, match="is given twice: give each run once"):
        compare([report.run, Path(report.run).name], root=str(tmp_path))
