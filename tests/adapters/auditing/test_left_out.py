"""Leave-one-out in closed form against a refit without each row."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.arrays import unit
from adapters.auditing.left_out import LeftOut, nearest

DIM, CLASSES, RIDGE = 6, 4, 0.3


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = np.array([0] * 7 + [1] * 5 + [2] * 2 + [3])  # of class 3 there is one row
    features = unit((rng.normal(size=(CLASSES, DIM))[labels] + rng.normal(size=(len(labels), DIM))).astype(np.float32))
    weights = rng.uniform(0.2, 1.0, len(labels))
    weights[4] = 0.0  # as a row without a label
    return features, labels, weights


def refitted(features: np.ndarray, labels: np.ndarray, weights: np.ndarray, out: int, spread: float) -> np.ndarray:
    """Logits of a row by means and scatter of all other rows."""
    X, kept = features.astype(np.float64), np.arange(len(labels)) != out
    means = np.empty((CLASSES, DIM))
    scatter = RIDGE * spread * np.eye(DIM)
    for c in range(CLASSES):
        own = kept & (labels == c) & (weights > 0)
        everything = kept & (weights > 0)
        group = own if own.any() else everything
        means[c] = np.average(X[group], axis=0, weights=weights[group])
        for i in np.flatnonzero(own):
            scatter += weights[i] * np.outer(X[i] - means[c], X[i] - means[c])
    precision = weights.sum() * np.linalg.inv(scatter)
    return np.array([-0.5 * (X[out] - mean) @ precision @ (X[out] - mean) for mean in means])


def test_every_row_is_judged_as_by_a_refit_without_it(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    left_out = LeftOut(*rows, CLASSES)
    found = left_out.logits(RIDGE)
    expected = np.stack([refitted(*rows, out, left_out.mean_spread) for out in range(len(rows[1]))])
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    some = np.array([1, 12, 14])
    np.testing.assert_array_equal(left_out.logits(RIDGE, some), found[some])


def test_blocks_change_nothing(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = LeftOut(*rows, CLASSES).logits(RIDGE)
    monkeypatch.setattr("adapters.auditing.left_out.BLOCK", DIM * 2)
    np.testing.assert_allclose(LeftOut(*rows, CLASSES).logits(RIDGE), whole, rtol=1e-5)


def test_a_row_on_a_mean_has_a_distance() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        features = unit(rng.normal(size=(30, 4 + seed)).astype(np.float32))
        features[10:20] = features[0] = features[10]  # a class of one picture, and that picture without a label
        weights = np.ones(30)
        weights[0] = 0
        logits = LeftOut(features, np.repeat(np.arange(3), 10), weights, 3).logits(3.0)
        assert (logits <= 0).all()
        assert np.isfinite(nearest(logits)).all()
