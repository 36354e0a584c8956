from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest

from adapters.errors import TaskError
from adapters.head import Head
from adapters.methods import METHODS, get
from adapters.selection.regimes import REGIMES, Select, choose, default_select, parse_select
from adapters.tasks.task import Task


class Recorder:
    """Stands for a head: tells what `tuned` was given."""

    def tuned(self, X: Any, y: Any, *, text: Any, held_out: Any) -> dict[str, Any]:
        return {"X": X, "y": y, "text": text, "held_out": held_out}


def test_every_regime_is_described_and_parsed() -> None:
    assert set(REGIMES) == set(get_args(Select))
    assert [parse_select(name) for name in REGIMES] == list(REGIMES)
    assert "ORACLE" in REGIMES["oracle"]


def test_an_unknown_regime_lists_the_known_ones() -> None:
    with pytest.raises(TaskError, match="--select Val given; expected one of none, support, val-kshot, val, oracle"):
        parse_select("Val")


def test_none_leaves_the_head_as_it_is(make_cache: Callable[..., Any]) -> None:
    head = Recorder()
    assert choose(head, Task.sample(make_cache(), shots=1), "none") is head  # type: ignore[arg-type, comparison-overlap]


@pytest.mark.parametrize("regime", ["support", "val-kshot", "val", "oracle"])
def test_a_regime_passes_the_views_of_the_support_and_what_it_holds_out(
    make_cache: Callable[..., Any], regime: Select
) -> None:
    task = Task.sample(make_cache(views=2), shots=3)
    given: Any = choose(Recorder(), task, regime)  # type: ignore[arg-type]
    assert given["X"] is task.support.views
    assert given["text"] is task.text
    expected = task.held_out(regime)
    if expected is None:
        assert given["held_out"] is None
    else:
        for passed, held in zip(given["held_out"], expected, strict=True):
            np.testing.assert_array_equal(passed, held)


def test_what_is_chosen_on_the_shots_by_default() -> None:
    chosen = {name for name in METHODS if default_select(get(name), ()) == "support"}
    assert chosen == {"tip", "tip-f", "tip-x", "ape", "taskres", "reg-linear"}
    for name in chosen:
        head_class = get(name)
        assert head_class._tuned is not Head._tuned
        assert set(head_class.chosen_by_default) <= set(head_class().get_params())
        for given in head_class.chosen_by_default:  # what a user sets stays
            assert default_select(head_class, {given, "logit_scale"}) == "none"
        assert default_select(head_class, {"logit_scale"}) == "support"
