"""A method gives the same number whatever the door, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adapters
from adapters.bench.benchmark import run as bench
from adapters.errors import AdapterError
from adapters.fitting.fit import fit as fit_and_save
from adapters.fitting.recipe import Recipe
from adapters.methods import METHODS
from adapters.search.search import run as search
from adapters.selection.regimes import NONE, learnt_from
from adapters.tasks.seen import task_seen_by
from tests.adapters.conftest import NEEDS
from tests.recorded_numbers import GRIDS

Make = Callable[..., Any]


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("shots", [1, 4])
def test_every_door_gives_one_number(make_cache: Make, tmp_path: Path, method: str, shots: int) -> None:
    cache = make_cache(**NEEDS.get(method, {})).keeping()
    asked: dict[str, Any] = {"seed": 2, "device": "cpu"}
    saved = fit_and_save(method, cache=cache, shots=shots, root=str(tmp_path), **asked)
    logits = adapters.load(saved.run).decision_function(cache["test"].images)

    head = adapters.fit(method, cache, shots=shots, **asked)
    assert np.array_equal(head.decision_function(cache["test"].images), logits)
    assert head.report_.accuracy == saved.accuracy
    assert head.report_.hyperparameters == saved.hyperparameters

    task = task_seen_by(METHODS[method], adapters.Task.sample(cache, shots=shots, seed=2))
    rows = learnt_from(METHODS[method], task)
    estimator = adapters.recommended(method, **asked).fit(rows.inputs, rows.labels, text=task.text)
    assert np.array_equal(estimator.decision_function(task.test.images), logits)
    assert estimator.score(task.test.images, task.test.labels) == saved.accuracy["test"]

    found = bench(method, caches=[cache], shots=[shots], seeds=[2], out=tmp_path / "bench", device="cpu")
    [row] = [record.row for record in found.records if record.row.method == method]
    assert (row.accuracy, row.ece, row.select) == (saved.accuracy["test"], saved.ece["test"], saved.select)

    if method in GRIDS:
        name, values = next(iter(parse(method).items()))
        tried = search(method, {name: values}, cache=cache, shots=[shots], seeds=[2], root=str(tmp_path), device="cpu")
        assert tried.best[0]["test"]["default"] == saved.accuracy["test"]


def parse(method: str) -> dict[str, Any]:
    from adapters.commands.shared.options import parse_grid

    words = [word for name, values in GRIDS[method].items() for word in (f"--{name}", values)]
    return parse_grid(method, words)


def test_nothing_is_chosen_over_what_was_given(make_cache: Make) -> None:
    head = adapters.fit("tip", make_cache(), shots=4, alpha=0.125)
    assert head.alpha == 0.125
    assert head.report_.select == "none"
    assert "nothing was chosen: alpha given" in head.report_.note
    with pytest.raises(AdapterError, match=r"0\.125 given, but --select support chooses it .*leave --alpha out"):
        adapters.fit("tip", make_cache(), shots=4, alpha=0.125, select="support")


def test_what_is_too_few_to_choose_on_is_told(make_cache: Make) -> None:
    assert "1 shots a class are too few for tip to choose on" in adapters.fit("tip", make_cache(), shots=1).report_.note


def test_a_recipe_says_what_it_is() -> None:
    assert [Recipe("gda", shots).regime.name for shots in (1, 2, 16)] == ["none", "support", "support"]
    assert Recipe("tip", 4, {"beta": 1.0}).regime is NONE
    with pytest.raises(AdapterError, match="has no option 'beat'"):
        adapters.recommended("tip", beat=1)
    with pytest.raises(AdapterError, match="no method 'tipp'"):
        adapters.recommended("tipp")
