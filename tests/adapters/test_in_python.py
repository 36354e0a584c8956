"""What people see who type in Python: names, short descriptions, and one kind of error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import adapters
import featcache
from adapters import ZeroShot
from adapters.errors import AdapterError
from adapters.methods import load

Make = Callable[..., Any]


@pytest.mark.parametrize("package", [featcache, adapters])
def test_dir_shows_what_there_is_and_nothing_else(package: Any) -> None:
    assert [name for name in dir(package) if not name.startswith("__")] == sorted(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is not None


def test_descriptions_are_a_line(make_cache: Make) -> None:
    cache = make_cache()
    task = adapters.Task.sample(cache, shots=4)
    head = adapters.fit("tip", cache, shots=4)
    told = [repr(each) for each in (task, task.support, task.test, head.report_)]
    assert told[:3] == [
        "<Task on shapes-tiny: 4 shots of 4 classes, seed 1>",
        "<16 rows of 4 classes>",
        "<48 rows of 4 classes>",
    ]
    assert told[3].startswith("<tip on shapes, 4 shots, seed 1: ")
    assert max(map(len, told)) < 100


@pytest.mark.parametrize(
    "wrong",
    [
        {"shots": "4"},
        {"shots": True},
        {"shots": 4.0},
        {"seed": "x"},
        {"select": 3},
        {"reject": "x"},
        {"coverage": True},
        {"calibrate": "no"},
        {"allow_fewer": 1},
        {"device": 3},
        {"cache": "digits-tiny"},
        {"alpha": "x"},
        {"method": 3},
    ],
)
def test_an_option_of_a_wrong_type_is_one_kind_of_error(make_cache: Make, wrong: dict[str, Any]) -> None:
    asked = {"method": "tip", "cache": make_cache(), "shots": 4, **wrong}
    with pytest.raises(AdapterError) as caught:
        adapters.fit(asked.pop("method"), asked.pop("cache"), **asked)
    assert "\n" not in str(caught.value)


def test_zero_shot_without_text_says_what_its_text_is(tmp_path: Any) -> None:
    rows, labels = np.eye(4, 8), np.array([0, 0, 1, 1])
    head = ZeroShot().fit(rows, labels)
    assert (
        head.prediction_note(rows) == "fitted without text: each class is the mean of its images, which is no zero-shot"
    )
    assert load(head.save(tmp_path / "head")).prediction_note(rows) == head.prediction_note(rows)
    assert ZeroShot().fit(rows, labels, text=np.eye(2, 8)).prediction_note(rows) == ""
