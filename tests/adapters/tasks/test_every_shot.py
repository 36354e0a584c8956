"""`--shots all`: every labelled training image, whatever their number, in every door."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters import methods
from adapters.bench.benchmark import run as bench
from adapters.commands.fit import report_page
from adapters.commands.shared.next_step import next_step
from adapters.commands.shared.shared_options import draws_given, shots_given
from adapters.errors import AdapterError, TaskError
from adapters.fitting.fit import fit
from adapters.fitting.over_seeds import fit_over_seeds
from adapters.search.search import run as search
from adapters.tasks.task import Task
from tests.adapters.conftest import NEEDS
from tests.pages import assert_all_is_told

Make = Callable[..., Any]


def uneven(make_cache: Make, **how: Any) -> Any:
    """12 to 3 images a class, some of them unreadable or without a label."""
    cache = make_cache(**how)
    train = cache["train"]
    for label, kept in enumerate((12, 7, 5, 3)):
        train.labels[np.flatnonzero(train.labels == label)[kept:]] = -1
    train.valid[np.flatnonzero(train.labels == 0)[0]] = False
    return cache


def test_every_labelled_image_is_a_shot(make_cache: Make) -> None:
    cache = uneven(make_cache)
    task = Task.sample(cache, shots="all")
    assert sorted(task.support.rows) == np.flatnonzero(cache["train"].labelled).tolist()
    assert np.bincount(task.support.labels).tolist() == [11, 7, 5, 3]
    assert task.shots == 11
    assert task.notes == ("every labelled training image: 3 to 11 of a class",)
    assert len(task.val_kshot) == 16
    with pytest.raises(TaskError, match="--shots all takes every labelled image: leave --indices out"):
        Task.sample(cache, shots="all", indices="x.json")


@pytest.mark.parametrize("method", list(methods.METHODS))
def test_every_method_takes_them(make_cache: Make, tmp_path: Path, method: str) -> None:
    cache = uneven(make_cache, **NEEDS.get(method, {})).keeping()
    report = fit(method, cache=cache, shots="all", root=str(tmp_path))
    assert report.shots == "all"
    assert report.rows["support"] == 26
    assert f"{method}-allshot-seed1" in report.run


@pytest.mark.parametrize("select", ["none", "support", "val-kshot", "val"])
def test_every_regime_chooses(make_cache: Make, tmp_path: Path, select: str) -> None:
    report = fit("tip", cache=uneven(make_cache), shots="all", select=select, root=str(tmp_path))
    assert report.select == select
    assert_all_is_told(report_page(report, None))
    card = (Path(report.run) / "README.md").read_text()
    assert "# tip on shapes, all labelled images" in card
    assert "Nothing was drawn" in card
    assert "--shots all --cache" in next_step(report, None).command


def test_bench_and_search_give_what_fit_gives(make_cache: Make, tmp_path: Path) -> None:
    cache = uneven(make_cache)
    fitted = fit("tip", cache=cache, shots="all", root=str(tmp_path)).accuracy["test"]
    found = bench("tip", caches=[cache], shots="all", seeds=[1], out=tmp_path / "bench")
    accuracy = {row["method"]: row["accuracy"] for row in found.to_json()["rows"]}
    assert accuracy["tip"] == fitted
    searched = search("tip", {"beta": (1.0, 5.5)}, cache=cache, shots="all", seeds=[1], out=tmp_path / "search")
    assert searched.best[0]["test"]["default"] == fitted
    assert searched.next_command.startswith("adapters fit tip --shots all --seed 1 --select none")


def test_what_is_typed() -> None:
    assert shots_given("all") == "all"
    assert shots_given("4") == 4
    assert draws_given("all", "3,1,2") == ("all", [3])
    assert draws_given("1,4", "3,1") == ([1, 4], [3, 1])
    for wrong in ("0", "-1", "four", "1.5"):
        with pytest.raises(
            AdapterError, match=r"expected images a class, 1 or more, such as --shots 4, or --shots all"
        ):
            shots_given(wrong)
    with pytest.raises(AdapterError, match="--shots 4,all: all goes alone"):
        draws_given("4,all", "1")


def test_nothing_is_drawn_that_seeds_could_differ_in(make_cache: Make) -> None:
    with pytest.raises(
        AdapterError, match="--shots all draws nothing that differs between 2 seeds: give one as --seed"
    ):
        fit_over_seeds("tip", [1, 2], cache=make_cache(), shots="all")
