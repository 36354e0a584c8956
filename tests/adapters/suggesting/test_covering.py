"""The ranking is the greedy one of its equations, whatever is skipped on the way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.arrays import Doubles, Floats, unit
from adapters.suggesting import covering
from adapters.suggesting.covering import LEAST_WEIGHT, NEAR, ranked, uncertainty


def points(rows: int, seed: int) -> Floats:
    return unit(np.random.default_rng(seed).normal(size=(rows, 5)).astype(np.float32))


def reached(X: Floats, known: Floats, weights: Doubles, taken: list[int]) -> float:
    """F of the head of the module, word by word, as a share of all weights."""
    apart = np.clip(2 - 2 * X.astype(np.float64) @ X.T, 0, None)
    near = min(NEAR, len(X) - 1)
    width = np.mean(np.sort(apart, axis=1)[:, near])
    every = np.concatenate([X[taken], known])
    if not len(every):
        return 0.0
    kernel = np.exp(-np.clip(2 - 2 * X.astype(np.float64) @ every.T, 0, None) / width)
    return float(weights @ kernel.max(1) / weights.sum())


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(2, 40), known=st.integers(0, 4), seed=st.integers(0, 10_000), weighted=st.booleans())
def test_each_image_raises_most_what_is_stood_for(rows: int, known: int, seed: int, weighted: bool) -> None:
    X, labelled = points(rows, seed), points(known, seed + 1) if known else np.empty((0, 5), np.float32)
    weights = np.random.default_rng(seed).uniform(0.1, 1, rows) if weighted else np.ones(rows)
    found = ranked(X, labelled, weights, min(rows, 8))
    taken: list[int] = []
    for number, gain in zip(found.order.tolist(), found.gains.tolist(), strict=True):
        before = reached(X, labelled, weights, taken)
        gains = [reached(X, labelled, weights, [*taken, other]) - before for other in range(rows)]
        assert number not in taken
        assert gains[number] == pytest.approx(max(gains), abs=1e-5)
        assert gain == pytest.approx(gains[number], abs=1e-5)
        taken.append(number)
    assert (np.diff(found.gains) <= 1e-6).all()  # gains only fall


@settings(deadline=None, max_examples=20)
@given(rows=st.integers(3, 60), seed=st.integers(0, 10_000))
def test_the_first_of_a_ranking_are_the_ranking_of_a_smaller_budget(rows: int, seed: int) -> None:
    X, nothing = points(rows, seed), np.empty((0, 5), np.float32)
    whole = ranked(X, nothing, np.ones(rows), rows)
    assert sorted(whole.order) == list(range(rows))
    for count in (1, rows // 2, rows + 5):
        assert ranked(X, nothing, np.ones(rows), count).order.tolist() == whole.order[:count].tolist()


def test_of_a_crowd_one_is_enough_and_what_is_known_needs_none() -> None:
    centres = unit(np.eye(3, 5, dtype=np.float32))
    X = unit(np.repeat(centres, (30, 20, 10), axis=0) + 0.01 * points(60, 0))
    crowd = np.repeat([0, 1, 2], (30, 20, 10))
    nothing = np.empty((0, 5), np.float32)
    assert crowd[ranked(X, nothing, np.ones(60), 3).order].tolist() == [0, 1, 2]
    assert crowd[ranked(X, centres[:1], np.ones(60), 2).order].tolist() == [1, 2]
    weights = np.where(crowd == 2, 1.0, 0.01)  # a head is unsure of the smallest
    assert crowd[ranked(X, nothing, weights, 1).order].tolist() == [2]


def test_images_that_are_all_alike_are_ranked_too() -> None:
    alike = np.repeat(points(1, 0), 6, axis=0)
    assert sorted(ranked(alike, np.empty((0, 5), np.float32), np.ones(6), 6).order) == list(range(6))


def test_of_very_many_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(covering, "MOST_CANDIDATES", 20)
    monkeypatch.setattr(covering, "MOST_STOOD_FOR", 10)
    found = ranked(points(100, 0), np.empty((0, 5), np.float32), np.ones(100), 30)
    assert len(set(found.order.tolist())) == 20
    assert found.order.max() < 100


def test_uncertain_is_what_two_classes_may_be() -> None:
    p = np.array([[0.5, 0.5, 0.0], [0.9, 0.05, 0.05], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(uncertainty(p), [1.0, 0.15, LEAST_WEIGHT])
    assert uncertainty(np.ones((4, 1))).tolist() == [1.0] * 4
