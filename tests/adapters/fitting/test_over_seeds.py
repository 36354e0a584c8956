"""Several seeds of one method: all are told, the first is saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from adapters.commands.fit import seeds_page
from adapters.fitting.fit import fit
from adapters.fitting.over_seeds import fit_over_seeds
from tests.pages import assert_all_is_told, texts


def test_all_are_told_and_the_first_is_saved(make_cache: Callable[..., Any], tmp_path: Path) -> None:
    cache = make_cache()
    found = fit_over_seeds("clip", [2, 1], cache=cache, shots=2, root=str(tmp_path))
    single = [fit("clip", cache=cache, shots=2, seed=seed, root=str(tmp_path / str(seed))) for seed in (2, 1)]
    assert [report.accuracy for report in found.reports] == [report.accuracy for report in single]
    assert [bool(report.run) for report in found.reports] == [True, False]
    assert len(list((tmp_path / "runs").rglob("config.json"))) == 1
    content = found.to_json()
    accuracies = [report.accuracy["test"] for report in single]
    assert content["run"] == found.reports[0].run
    assert content["over_seeds"]["test"] == {"mean": fmean(accuracies), "std": stdev(accuracies)}
    assert [each["seed"] for each in content["seeds"]] == [2, 1]
    page = seeds_page(found, None)
    assert_all_is_told(page)
    assert "2 seeds; below, and saved: seed 2" in texts(page)
