from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.errors import TaskError
from adapters.tasks.sampling import MOST_SEED, sample_shots

NAMES = ("crop", "forest", "river")
GOLDEN_SEED_1 = [5, 4, 3, 11, 14, 10, 20, 27, 29]

listings = st.lists(st.integers(0, 2), min_size=9, max_size=60).map(lambda labels: np.array([0, 1, 2] * 3 + labels))
seeds = st.integers(0, MOST_SEED)


def draw(labels: np.ndarray, valid: np.ndarray | None = None, **arguments: object) -> np.ndarray:
    valid = np.ones(len(labels), dtype=bool) if valid is None else valid
    return sample_shots(labels, valid, **{"class_names": NAMES, "shots": 2, "seed": 1, **arguments})


@given(listings, seeds)
def test_every_class_gives_k_different_rows_grouped_in_class_order(labels: np.ndarray, seed: int) -> None:
    rows = draw(labels, seed=seed, shots=3)
    assert labels[rows].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert len(set(rows.tolist())) == 9


@given(listings, seeds, st.integers(1, 3), st.integers(1, 3))
def test_a_larger_set_contains_the_smaller_one_in_the_same_order(
    labels: np.ndarray, seed: int, shots: int, more: int
) -> None:
    few, many = (draw(labels, seed=seed, shots=k, allow_fewer=True) for k in (shots, shots + more))
    for index in range(3):
        of_class = many[labels[many] == index]
        assert of_class[:shots].tolist() == few[labels[few] == index].tolist()


@given(listings, seeds, st.data())
def test_an_invalid_row_moves_no_other_class_and_only_leaves_its_own(
    labels: np.ndarray, seed: int, data: st.DataObject
) -> None:
    rows = draw(labels, seed=seed)
    bad = data.draw(st.sampled_from(rows.tolist()))
    valid = np.arange(len(labels)) != bad
    again = draw(labels, valid, seed=seed)
    assert set(rows.tolist()) - set(again.tolist()) == {bad}


@settings(max_examples=30)
@given(seeds)
def test_a_class_draws_alike_whatever_the_other_classes_hold(seed: int) -> None:
    alone, crowded = np.array([0] * 8 + [1, 2, 1, 2]), np.array([0] * 8 + [1, 2] * 20)
    first, second = draw(alone, seed=seed), draw(crowded, seed=seed)
    assert first[:2].tolist() == second[:2].tolist()


def test_the_draw_is_the_same_on_every_machine() -> None:
    labels = np.repeat(np.arange(3), 10)
    assert draw(labels, shots=3, seed=1).tolist() == GOLDEN_SEED_1
    assert draw(labels, shots=3, seed=2).tolist() != GOLDEN_SEED_1


def test_support_and_val_draws_are_independent() -> None:
    labels = np.repeat(np.arange(3), 50)
    assert draw(labels, shots=8).tolist() != draw(labels, shots=8, stream="val").tolist()


def test_the_smallest_class_is_named_with_its_count_and_the_remedy() -> None:
    labels = np.array([0, 0, 1, 2, 2, 2, -1])
    with pytest.raises(TaskError, match=r"'forest' has 1 image to draw from, expected 3: .*--shots 1.*--allow-fewer"):
        draw(labels, shots=3)


def test_invalid_rows_do_not_count_as_images() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    with pytest.raises(TaskError, match=r"'river' has 1 image"):
        draw(labels, np.array([True] * 5 + [False]))


def test_allow_fewer_takes_short_classes_as_they_are() -> None:
    labels = np.array([0, 0, 0, 0, 2, 2])
    rows = draw(labels, shots=3, allow_fewer=True)
    assert np.bincount(labels[rows], minlength=3).tolist() == [3, 0, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shots": 0}, "0 shots given"),
        ({"shots": "4"}, "'4' shots given; expected an integer"),
        ({"seed": -1}, "seed -1 given"),
        ({"seed": "a"}, "seed 'a' given"),
    ],
)
def test_senseless_draws_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        draw(np.repeat(np.arange(3), 4), **arguments)
