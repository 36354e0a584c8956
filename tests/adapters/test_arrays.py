from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adapters.arrays import to_float32, unit
from adapters.errors import AdapterError
from adapters.support import Support, fold_of_rows, shot_folds

ROWS = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)


@given(arrays(np.float32, (5, 3), elements=st.floats(-(2.0**60), 2.0**60, width=32)))
def test_unit_rows_have_norm_one_or_zero(rows: np.ndarray) -> None:
    result = unit(rows)
    assert result.dtype == np.float32
    norms = np.linalg.norm(result.astype(np.float64), axis=1)
    zero = (rows == 0).all(1)
    np.testing.assert_allclose(norms[~zero], 1, atol=1e-6)
    assert (norms[zero] == 0).all()


def test_unit_keeps_tiny_rows() -> None:
    np.testing.assert_allclose(unit(np.full((1, 4), 1e-30, np.float32)), 0.5)


def test_torch_numpy_and_lists_are_the_same() -> None:
    tensor = torch.tensor(ROWS, requires_grad=True)
    for given_as in (ROWS.astype(np.float64), ROWS.tolist(), tensor, np.asfortranarray(ROWS)):
        result = to_float32(given_as, "X", (2,))
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result, ROWS)
    assert to_float32(tensor.bfloat16(), "X", (2,)).dtype == np.float32


def _with(value: float) -> np.ndarray:
    rows = ROWS.copy()
    rows[3, 1] = value
    return rows


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (_with(np.nan), "NaN or infinity, first in row 3"),
        (_with(np.inf), "NaN or infinity, first in row 3"),
        (ROWS.astype(np.float64) * 1e300, "infinity"),
        (ROWS[0], r"shape \(4,\)"),
        (ROWS[None, None], "shape"),
        (ROWS[:0], "empty"),
        (ROWS * 1j, "complex"),
        ([["a", "b"]], "dtype"),
        ([[1.0, 2.0], [3.0]], "rectangular"),
        (np.array([[object()]]), "not a number"),
    ],
)
def test_bad_features_end_in_one_line(x: Any, says: str) -> None:
    with pytest.raises(AdapterError, match=says) as caught:
        to_float32(x, "X", (2, 3))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("y", "text", "says"),
    [
        ([0, 1, 2, 0, 1], np.eye(3, 4), "expected \\(6,\\)"),
        ([0, 1, 2, 0, 1, 3], np.eye(3, 4), "expected 0..2"),
        ([0, 1, 2, 0, 1, -1], np.eye(3, 4), "expected 0..2"),
        ([0, 1, 2, 0, 1, 0.5], np.eye(3, 4), "fractions"),
        ([0, 1, 2, 0, 1, np.nan], np.eye(3, 4), "NaN"),
        (list("abcabc"), np.eye(3, 4), "integers that index"),
        ([0, 1, 2, 0, 1, 2], np.eye(3, 5), "X has 4 columns but text has 5"),
    ],
)
def test_labels_and_text_must_fit(y: Any, text: Any, says: str) -> None:
    with pytest.raises(AdapterError, match=says):
        Support.check(ROWS, y, text)


def test_text_may_be_an_object_with_weights() -> None:
    weights = 3 * np.eye(3, 4)
    support = Support.check(ROWS, [0, 1, 2, 0, 1, 2], SimpleNamespace(weights=lambda: weights))
    np.testing.assert_array_equal(support.text, np.eye(3, 4))


def test_without_text_class_means_of_unit_rows_stand_in() -> None:
    support = Support.check(ROWS * np.arange(1, 7)[:, None], list("babbab"), None)
    assert support.classes.tolist() == ["a", "b"]
    expected = unit(ROWS)[[1, 4]].mean(0)
    np.testing.assert_allclose(support.text[0], expected / np.linalg.norm(expected), atol=1e-6)


def test_views_are_averaged_raw_then_normalised() -> None:
    views = np.stack([ROWS, 5 * ROWS[::-1]], 1)
    expected = ROWS + 5 * ROWS[::-1]
    support = Support.check(views, [0] * 6, np.ones((1, 4)))
    np.testing.assert_allclose(support.means, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)


def test_folds_hold_one_shot_of_each_class_out() -> None:
    labels = np.array([2, 0, 0, 1, 2, 1, 0, 1, 2])
    folds = shot_folds(labels, 10)
    assert len(folds) == 3
    for kept, out in folds:
        assert sorted(labels[out]) == [0, 1, 2]
        assert sorted([*kept, *out]) == list(range(9))
    assert sorted(np.concatenate([out for _, out in folds])) == list(range(9))


def test_folds_keep_the_only_row_of_a_class() -> None:
    assert fold_of_rows(np.array([0, 0, 1]), 4).tolist() == [0, 1, -1]
    assert shot_folds(np.array([0, 1, 2]), 4) == []
