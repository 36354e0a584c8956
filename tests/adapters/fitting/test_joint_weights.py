"""Weights of joined caches: chosen on what the regime allows, exactly or on a grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from adapters.errors import AdapterError
from adapters.fitting.fit import fit_and_score
from adapters.fitting.joint_weights import simplex, with_weights
from adapters.fitting.recipe import Recipe
from adapters.joining.joined_cache import JoinedCache, join
from adapters.metrics import accuracy
from adapters.selection.regimes import NONE, SUPPORT, VAL
from adapters.tasks.task import Task
from tests.adapters.joining.conftest import caches  # noqa: F401

Bring = Callable[..., Any]


@pytest.fixture(scope="module")
def auto(caches: Bring) -> JoinedCache:  # noqa: F811
    """A good encoder, and one that is mostly noise."""
    return join([caches("good", noise=1.5), caches("noise", noise=9.0)], "auto")


def test_zero_shot_has_the_best_of_all_ratios(auto: JoinedCache) -> None:
    task = with_weights(Task.sample(auto, shots=4), Recipe("zero-shot", 4, select=VAL), 1)
    assert isinstance(task.cache, JoinedCache)
    val = auto["val"]

    def right(second: float) -> float:
        joined = auto.weighted((1 - second, second), "")
        return accuracy(joined["val"].images @ joined.text.weights().T, val.labels)

    assert right(task.cache.weights[1]) == max(map(right, np.linspace(0, 1, 101).tolist()))
    assert task.cache.chosen_by.startswith("exactly, on the validation rows")
    assert task.text.logit_scale == task.cache.text.logit_scale


@pytest.mark.parametrize(("method", "params"), [("gda", {}), ("taskres", {"epochs": 5})])
def test_other_heads_take_the_best_point_of_a_grid(auto: JoinedCache, method: str, params: dict[str, Any]) -> None:
    recipe = Recipe(method, 4, params, SUPPORT, device="cpu")
    task = with_weights(Task.sample(auto, shots=4), recipe, 1)
    assert isinstance(task.cache, JoinedCache)
    assert task.cache.weights[0] >= 0.5
    assert "on a grid of 5 points, on the support rows" in task.cache.chosen_by or "equal" in task.cache.chosen_by


def test_points_without_text_are_left_out(caches: Bring) -> None:  # noqa: F811
    joined = join([caches("good", noise=1.5), caches("mute", text=False)], "auto")
    task = with_weights(Task.sample(joined, shots=4), Recipe("gda", 4, {}, SUPPORT), 1)
    assert isinstance(task.cache, JoinedCache)
    assert "4 points" in task.cache.chosen_by or "equal" in task.cache.chosen_by


def test_test_labels_choose_nothing(auto: JoinedCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(self: Task) -> None:
        raise AssertionError("the test split was read")

    monkeypatch.setattr(Task, "test", property(asked))
    for regime in (SUPPORT, VAL):
        with_weights(Task.sample(auto, shots=4), Recipe("gda", 4, {}, regime), 1)


def test_the_report_says_the_weights_and_what_chose_them(auto: JoinedCache) -> None:
    fitted = fit_and_score("gda", cache=auto, shots=4, select="support")
    joined = fitted.report.joined
    assert joined is not None
    assert joined["auto"]
    assert sum(part["weight"] for part in joined["parts"]) == 1.0
    assert fitted.report.cache_digest == fitted.task.cache.digest != auto.digest
    assert fitted.configuration["cache"] == auto.digest  # a run's name does not depend on what was chosen
    with pytest.raises(AdapterError, match="type --select support, or --weights 1,1"):
        with_weights(Task.sample(auto, shots=4), Recipe("gda", 4, {}, NONE), 1)
    alone = with_weights(Task.sample(auto, shots=1), Recipe("gda", 1, {}, SUPPORT), 1)
    assert isinstance(alone.cache, JoinedCache)
    assert alone.cache.weights == (0.5, 0.5)


def test_the_simplex_is_whole() -> None:
    assert len(list(simplex(3, 4))) == 15
    assert all(sum(point) == 1 for point in simplex(3, 4))
    assert len(set(simplex(2, 4))) == 5
