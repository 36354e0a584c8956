"""Cross-dataset: heads of one cache on others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adapters.bench.protocols.base_to_new import base_to_new
from adapters.bench.protocols.cross_dataset import check_same_encoder, cross_dataset
from adapters.bench.protocols.learning import ADAPTED, BY_TEXT
from adapters.errors import TaskError
from adapters.tasks.task import Task
from tests.adapters.bench.recorders import CALLS, recipe

Make = Callable[..., Any]


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
