"""Some of a task's classes, renamed in an order of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from adapters.bench.protocols.classes import ClassSubset
from adapters.tasks.task import Task

Make = Callable[..., Any]


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
    assert task.val is not None
    assert subset.val is not None
    np.testing.assert_array_equal(subset.val.images, task.val.images[np.isin(task.val.labels, [0, 2])])
    assert set(subset.val.labels) == {0, 1}


def test_all_classes_in_order_copy_nothing(task: Task) -> None:
    subset = ClassSubset.whole(task)
    assert subset.test is task.test
    assert subset.support is task.support
