"""Classes that arrive in tasks: what each fit is given, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.bench.protocols.few_shot import few_shot
from adapters.bench.protocols.incremental import class_order, incremental
from adapters.bench.protocols.learning import CONTINUED, REFITTED
from adapters.errors import TaskError
from adapters.selection.regimes import REGIMES
from adapters.tasks.task import Task
from tests.adapters.bench.recorders import CALLS, recipe


def test_a_continuing_head_sees_new_shots_alone_and_all_text_so_far(task: Task) -> None:
    order = ("sea", "forest", "river", "annual crop")
    parts = incremental(recipe("continuing", tasks=3, class_order=order), task, 1)
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
    parts = incremental(recipe("bound", tasks=2), task, 1)
    assert [part.how for part in parts] == [REFITTED] * 2
    assert [len(call["y"]) for call in CALLS] == [6, 12]
    zero = incremental(recipe("zero-shot", tasks=2), task, 1)
    assert [part.how for part in zero] == ["", ""]
    assert [part.accuracy for part in zero] == [part.accuracy for part in parts]
    (all_at_once,) = incremental(recipe("zero-shot", tasks=1), task, 1)
    assert all_at_once.accuracy == few_shot(recipe("zero-shot"), task, 1)[0].accuracy == zero[-1].accuracy


def test_selection_of_a_continuing_head_happens_at_the_first_task(task: Task) -> None:
    incremental(recipe("continuing", regime=REGIMES["val"], tasks=2), task, 1)
    assert [key for call in CALLS for key in call if key in ("tuned", "partial_fit")] == [
        "tuned",
        "partial_fit",
        "partial_fit",
    ]


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
        incremental(recipe("bound", tasks=5), task, 1)
