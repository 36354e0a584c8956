"""What each protocol fits on and tests on, with heads that record what they are given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from adapters import ZeroShot
from adapters.bench.protocols.classes import ClassSubset
from adapters.bench.protocols.few_shot import base_to_new, check_same_encoder, cross_dataset, few_shot
from adapters.bench.protocols.incremental import class_order, incremental
from adapters.bench.protocols.learning import ADAPTED, BY_OWN, BY_TEXT, CONTINUED, REFITTED, Recipe
from adapters.bench.protocols.settings import Settings
from adapters.errors import AdapterError, TaskError
from adapters.methods import METHODS
from adapters.tasks.task import Task

Make = Callable[..., Any]
CALLS: list[dict[str, Any]] = []


class Bound(ZeroShot):
    """Zero-shot that cannot score other classes, and records its fits."""

    method = "bound"

    def fit(self, X: Any, y: Any, *, text: Any = None) -> Any:
        CALLS.append({"fit": np.asarray(X), "y": y, "names": text.class_names})
        return super().fit(X, y, text=text)

    def tuned(self, X: Any, y: Any, *, text: Any = None, held_out: Any = None) -> Any:
        CALLS.append({"tuned": len(y), "held_out": held_out})
        return self

    def for_classes(self, text: Any) -> Any:
        return None


class Continuing(Bound):
    """Keeps on, and answers with the last class it was given whatever it sees."""

    method = "continuing"

    def partial_fit(self, X: Any, y: Any, *, text: Any) -> Any:
        CALLS.append({"partial_fit": np.asarray(X), "y": y, "names": text.class_names})
        self.tasks_ = getattr(self, "tasks_", 0) + 1
        return super().fit(X, y, text=text)


class Borrowing(Bound):
    """Scores other classes from the rows that it was fitted on."""

    method = "borrowing"

    def for_new_classes(self, X: Any, *, text: Any) -> Any:
        CALLS.append({"borrow": np.asarray(X), "names": text.class_names})
        return ZeroShot().fit(text.weights(), np.arange(len(text.class_names)), text=text)


class Online(Bound):
    method = "online"

    def adapt(self, X: Any, y: Any = None, text: Any = None) -> Any:
        CALLS.append({"adapt": np.asarray(X), "y": y, "names": text.class_names})
        return ZeroShot(logit_scale=1.0).fit(X, y, text=text)


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("adapters.fake_heads")
    for head in (Bound, Continuing, Borrowing, Online):
        setattr(module, head.__name__, head)
        monkeypatch.setitem(METHODS, head.method, f"fake_heads:{head.__name__}")
    monkeypatch.setitem(sys.modules, "adapters.fake_heads", module)
    CALLS.clear()
    yield
    CALLS.clear()


SETTINGS = Settings("few-shot", "none", False, None, None, None, False, "cpu")


def recipe(method: str, **change: Any) -> Recipe:
    return Recipe(method, {}, replace(SETTINGS, **change))


@pytest.fixture
def task(make_cache: Make) -> Task:
    return Task.sample(make_cache(), shots=3, seed=1)


def test_a_subset_renames_its_classes_in_its_own_order(task: Task) -> None:
    subset = ClassSubset(task, np.array([2, 0]))
    assert subset.text.class_names == ("river", "annual crop")
    np.testing.assert_array_equal(subset.text.weights(), task.text.weights()[[2, 0]])
    assert subset.support.labels.tolist() == [0, 0, 0, 1, 1, 1]
    whole = task.support
    np.testing.assert_array_equal(subset.support.images[:3], whole.images[whole.labels == 2])
    np.testing.assert_array_equal(subset.support.images[3:], whole.images[whole.labels == 0])
    assert subset.support.ids.tolist() == [*whole.ids[whole.labels == 2], *whole.ids[whole.labels == 0]]
    np.testing.assert_array_equal(subset.tested, np.isin(task.test.labels, [0, 2]))
    np.testing.assert_array_equal(np.array([2, 0])[subset.test.labels], task.test.labels[subset.tested])
    images, labels = subset.held_out("val")  # type: ignore[misc]
    assert task.val is not None
    np.testing.assert_array_equal(images, task.val.images[np.isin(task.val.labels, [0, 2])])
    assert set(labels) == {0, 1}
    assert subset.held_out("support") is None


def test_all_classes_in_order_copy_nothing(task: Task) -> None:
    subset = ClassSubset.whole(task)
    assert subset.test is task.test
    assert subset.support is task.support


def test_few_shot_scores_every_class(task: Task) -> None:
    (part,) = few_shot(recipe("zero-shot"), task, 1)
    head = ZeroShot(logit_scale=20.0).fit(task.support.images, task.support.labels, text=task.text)
    expected = head.predict(task.test.images) == task.test.labels
    np.testing.assert_array_equal(part.correct, expected)
    assert part.tested.all()
    assert (part.name, part.how, part.classes, part.accuracy) == ("all", "", 4, expected.mean())
    assert part.hyperparameters == {"logit_scale": 20.0}


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
    base_to_new(recipe("bound", select="val"), task, 1)
    images, labels = CALLS[0]["held_out"]
    assert task.val is not None
    np.testing.assert_array_equal(images, task.val.images[task.val.labels < 2])
    assert set(labels) == {0, 1}


def test_cross_dataset_scores_each_target_among_its_own_classes(make_cache: Make) -> None:
    source, target, shifted = make_cache(), make_cache(rows=6), make_cache(rows=5)
    target.name, shifted.name = "other", "shifted"
    target.texts = {"plain": replace(target.text, class_names=("a", "b", "c", "d"))}
    task = Task.sample(source, shots=2, seed=1)
    parts = cross_dataset(recipe("bound"), task, 1, [target, shifted])
    assert [part.name for part in parts] == ["shapes-tiny", "other", "shifted"]
    assert [part.how for part in parts] == ["", BY_TEXT, ""]
    assert [len(part.correct) for part in parts] == [48, 24, 20]
    assert len(CALLS) == 1
    zero = cross_dataset(recipe("zero-shot"), task, 1, [target, shifted])
    assert [part.accuracy for part in parts] == [part.accuracy for part in zero]


def test_an_online_head_adapts_to_the_shots_of_the_target(make_cache: Make) -> None:
    source, target = make_cache(), make_cache(rows=6)
    target.name = "other"
    target.texts = {"plain": replace(target.text, class_names=("a", "b", "c", "d"))}
    parts = cross_dataset(recipe("online"), Task.sample(source, shots=2, seed=3), 3, [target])
    assert [part.how for part in parts] == ["", ADAPTED]
    np.testing.assert_array_equal(CALLS[-1]["adapt"], Task.sample(target, shots=2, seed=3).support.images)
    task = Task.sample(source, shots=2, seed=3)
    assert base_to_new(recipe("online"), task, 3)[1].how == ADAPTED
    np.testing.assert_array_equal(CALLS[-1]["adapt"], task.support.images[task.support.labels >= 2])


def test_caches_of_two_encoders_do_not_mix(make_cache: Make) -> None:
    first, second = make_cache(), make_cache()
    second.name = "other"
    check_same_encoder([first, second])
    second.encoder["weights_sha256"] = "ff" * 32
    with pytest.raises(TaskError, match=r"cache other comes from another encoder than shapes-tiny \(weights_sha256"):
        check_same_encoder([first, second])


def test_a_continuing_head_sees_new_shots_alone_and_all_text_so_far(task: Task) -> None:
    order = ("sea", "forest", "river", "annual crop")
    parts = incremental(recipe("continuing"), task, 1, 3, order)
    assert [part.name for part in parts] == ["task-1", "task-2", "task-3"]
    assert [part.how for part in parts] == [CONTINUED] * 3
    assert [part.classes for part in parts] == [2, 3, 4]  # 4 classes in 3 tasks: the first is the larger
    assert [call["names"] for call in CALLS if "partial_fit" in call] == [order[:2], order[:3], order]
    assert [sorted(set(call["y"])) for call in CALLS if "partial_fit" in call] == [[0, 1], [2], [3]]
    support = task.support
    np.testing.assert_array_equal(
        [call for call in CALLS if "partial_fit" in call][1]["partial_fit"], support.images[support.labels == 2]
    )
    np.testing.assert_array_equal(parts[1].tested, task.test.labels != 0)


def test_other_heads_are_refitted_on_all_seen_classes(task: Task) -> None:
    parts = incremental(recipe("bound"), task, 1, 2, None)
    assert [part.how for part in parts] == [REFITTED] * 2
    assert [len(call["y"]) for call in CALLS] == [6, 12]
    zero = incremental(recipe("zero-shot"), task, 1, 2, None)
    assert [part.how for part in zero] == ["", ""]
    assert [part.accuracy for part in zero] == [part.accuracy for part in parts]
    (all_at_once,) = incremental(recipe("zero-shot"), task, 1, 1, None)
    assert all_at_once.accuracy == few_shot(recipe("zero-shot"), task, 1)[0].accuracy == zero[-1].accuracy


def test_selection_of_a_continuing_head_happens_at_the_first_task(task: Task) -> None:
    incremental(recipe("continuing", select="val"), task, 1, 2, None)
    assert [key for call in CALLS for key in call if key in ("tuned", "partial_fit")] == [
        "tuned",
        "partial_fit",
        "partial_fit",
    ]


def test_calibration_follows_every_fit(task: Task) -> None:
    plain = few_shot(recipe("zero-shot", select="val"), task, 1)[0]
    part = few_shot(recipe("zero-shot", select="val", calibrate=True), task, 1)[0]
    assert part.temperature != 1.0
    assert part.ece_uncalibrated == plain.ece != part.ece
    assert part.accuracy == plain.accuracy
    (note,) = few_shot(recipe("bound", calibrate=True), task, 1)[0].notes
    assert "--select none" in note
    last = incremental(recipe("continuing", select="support", calibrate=True), task, 1, 2, None)[-1]
    assert "not calibrated" in last.notes[-1]
    assert incremental(recipe("continuing", select="val", calibrate=True), task, 1, 2, None)[-1].temperature != 1.0


def test_the_order_of_arrival_is_seeded_or_given() -> None:
    names = tuple("abcdefgh")
    assert class_order(names, 1, None).tolist() == class_order(names, 1, None).tolist()
    assert class_order(names, 1, None).tolist() != class_order(names, 2, None).tolist()
    assert sorted(class_order(names, 1, None)) == list(range(8))
    assert class_order(("x", "y", "z"), 1, ("z", "x", "y")).tolist() == [2, 0, 1]
    with pytest.raises(TaskError, match="class order names 2 classes; expected each of the 3 once"):
        class_order(("x", "y", "z"), 1, ("z", "x"))


def test_more_tasks_than_classes_is_refused(task: Task) -> None:
    with pytest.raises(TaskError, match="--tasks 5 given; cache shapes-tiny has 4 classes"):
        incremental(recipe("bound"), task, 1, 5, None)


@pytest.mark.parametrize(
    ("change", "caches", "message"),
    [
        ({"protocol": "zero"}, 1, "expected one of few-shot, base-to-new, cross-dataset, incremental"),
        ({"protocol": "incremental"}, 1, "type --tasks 5"),
        ({"protocol": "incremental", "tasks": 0}, 1, "got 0"),
        ({"tasks": 3}, 1, "leave --tasks out"),
        ({"protocol": "cross-dataset"}, 1, "type --cache SOURCE --cache TARGET"),
    ],
)
def test_options_that_do_not_go_together(change: dict[str, Any], caches: int, message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        replace(SETTINGS, **change).check(caches)
