"""Base to new: what heads are fitted on, and how they score classes that they have not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from adapters.bench.protocols.base_to_new import base_to_new
from adapters.bench.protocols.learning import BY_OWN, BY_TEXT
from adapters.selection.regimes import REGIMES
from adapters.tasks.task import Task
from tests.adapters.bench.recorders import CALLS, recipe

Make = Callable[..., Any]


def test_base_to_new_takes_the_first_half_rounded_up_and_draws_before(make_cache: Make) -> None:
    cache = make_cache()
    text = cache.text
    cache.texts["plain"] = replace(text, matrix=text.matrix[:3], class_names=text.class_names[:3])
    for part in cache.parts.values():
        part.valid &= part.labels < 3
    task = Task.sample(cache, shots=2, seed=5)
    base, new = base_to_new(recipe("bound"), task, 5)
    (call,) = CALLS
    assert call["names"] == ("annual crop", "forest")
    np.testing.assert_array_equal(call["fit"], task.support.images[task.support.labels < 2])
    assert (base.classes, new.classes) == (2, 1)
    assert (base.how, new.how) == ("", BY_TEXT)
    np.testing.assert_array_equal(base.tested, task.test.labels < 2)
    np.testing.assert_array_equal(new.tested, task.test.labels == 2)
    assert new.accuracy == 1.0  # among one class


def test_text_fall_back_is_zero_shot_and_an_own_way_is_used_where_there_is_one(task: Task) -> None:
    zero, bound, clip = (base_to_new(recipe(name), task, 1)[1] for name in ("zero-shot", "bound", "clip"))
    assert (zero.how, bound.how, clip.how) == ("", BY_TEXT, BY_OWN)
    np.testing.assert_array_equal(bound.correct, zero.correct)
    assert bound.ece == zero.ece


def test_a_head_may_borrow_from_the_rows_it_was_fitted_on(task: Task) -> None:
    assert base_to_new(recipe("borrowing"), task, 1)[1].how == BY_OWN
    np.testing.assert_array_equal(CALLS[-1]["borrow"], task.support.images[task.support.labels < 2])
    assert CALLS[-1]["names"] == ("river", "sea")


def test_selection_sees_the_classes_that_are_fitted_alone(task: Task) -> None:
    base_to_new(recipe("bound", regime=REGIMES["val"]), task, 1)
    images, labels = CALLS[0]["held_out"]
    assert task.val is not None
    np.testing.assert_array_equal(images, task.val.images[task.val.labels < 2])
    assert set(labels) == {0, 1}
