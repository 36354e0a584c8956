from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from adapters.errors import TaskError
from adapters.head import Head
from adapters.methods import METHODS
from adapters.selection.regimes import NONE, REGIMES, SUPPORT, choose, default_regime, parse_select
from adapters.tasks.task import Task


class Recorder:
    """Stands for a head: tells what `tuned` was given."""

    takes_unlabelled = False

    def tuned(self, X: Any, y: Any, *, text: Any, held_out: Any) -> dict[str, Any]:
        return {"X": X, "y": y, "text": text, "held_out": held_out}


def test_every_regime_is_described_and_parsed() -> None:
    assert [parse_select(name).name for name in REGIMES] == list(REGIMES)
    assert all(regime.meaning for regime in REGIMES.values())
    assert "ORACLE" in REGIMES["oracle"].meaning
    assert [name for name, regime in REGIMES.items() if regime.warning] == ["oracle"]


def test_an_unknown_regime_lists_the_known_ones() -> None:
    with pytest.raises(TaskError, match="--select Val given; expected one of none, support, val-kshot, val, oracle"):
        parse_select("Val")


def test_none_leaves_the_head_as_it_is(make_cache: Callable[..., Any]) -> None:
    head = Recorder()
    assert choose(head, Task.sample(make_cache(), shots=1), NONE) is head  # type: ignore[arg-type, comparison-overlap]


@pytest.mark.parametrize("regime", ["support", "val-kshot", "val", "oracle"])
def test_a_regime_passes_the_views_of_the_support_and_what_it_holds_out(
    make_cache: Callable[..., Any], regime: str
) -> None:
    task = Task.sample(make_cache(views=2), shots=3)
    given: Any = choose(Recorder(), task, REGIMES[regime])  # type: ignore[arg-type]
    assert given["X"] is task.support.views
    assert given["text"] is task.text
    expected = REGIMES[regime].held_out(task)
    if expected is None:
        assert given["held_out"] is None
    else:
        for passed, held in zip(given["held_out"], expected, strict=True):
            np.testing.assert_array_equal(passed, held)


def test_what_is_chosen_on_the_shots_by_default() -> None:
    choosing = {name: head for name, head in METHODS.items() if head.chosen_by_default}
    assert set(choosing) == {"tip", "tip-f", "tip-x", "ape", "gda", "proker", "timo"}
    for head_class in choosing.values():
        assert head_class._tuned is not Head._tuned
        assert set(head_class.chosen_by_default) <= set(head_class().get_params())
        for given in head_class.chosen_by_default:  # what a user sets stays
            assert default_regime(head_class.chosen_by_default, shots=16, given={given, "logit_scale"}) is NONE
        assert default_regime(head_class.chosen_by_default, shots=2, given={"logit_scale"}) is SUPPORT
        assert default_regime(head_class.chosen_by_default, shots=1) is NONE
    assert default_regime((), shots=16) is NONE


@pytest.mark.parametrize("regime", ["val", "val-kshot"])
def test_where_there_is_no_validation_split_it_says_what_to_type(make_cache: Callable[..., Any], regime: str) -> None:
    task = Task.sample(make_cache(splits=("train", "test")), shots=2)
    with pytest.raises(TaskError, match=f"--select {regime} needs a val split.*--select support"):
        REGIMES[regime].held_out(task)


def test_each_regime_holds_out_what_it_says(make_cache: Callable[..., Any]) -> None:
    cache = make_cache(rows=12)
    task = Task.sample(cache, shots=8)
    assert REGIMES["none"].held_out(task) is None
    assert REGIMES["support"].held_out(task) is None
    assert task.val is not None
    np.testing.assert_array_equal(REGIMES["val"].held_out(task)[0], task.val.images)
    np.testing.assert_array_equal(REGIMES["oracle"].held_out(task)[0], task.test.images)
    images, labels = REGIMES["val-kshot"].held_out(task)
    assert np.bincount(labels).tolist() == [4, 4, 4, 4]  # min(K, 4), not K
    np.testing.assert_array_equal(images, cache["val"].all_images[task.val_kshot.rows])
    assert np.bincount(Task.sample(cache, shots=2).val_kshot.labels).tolist() == [2, 2, 2, 2]
