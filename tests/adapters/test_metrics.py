from __future__ import annotations

import numpy as np
import pytest

from adapters.errors import AdapterError
from adapters.metrics import accuracy, ece, reliability, softmax
from tests.golden_files import golden


def test_golden_metrics() -> None:
    expected, data = golden("metrics", "data")
    labels = data["test_labels"]
    for i, logits in enumerate(expected["logits"]):
        assert accuracy(logits, labels) == pytest.approx(expected["top1"][i], abs=1e-12)
        assert ece(logits, labels) == pytest.approx(expected["ece15"][i], abs=1e-9)
        table = reliability(logits, labels)
        np.testing.assert_array_equal(table.rows, expected["bin_count"][i])
        np.testing.assert_allclose(table.accuracy, expected["bin_accuracy"][i], atol=1e-12)
        np.testing.assert_allclose(table.confidence, expected["bin_confidence"][i], atol=1e-9)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    table = reliability(np.zeros((1, 2)), [0], bins=2)  # confidence exactly 0.5: (0, 0.5]
    assert table.rows.tolist() == [1, 0]


def test_certain_and_right_is_calibrated() -> None:
    assert ece(1000 * np.eye(3), [0, 1, 2]) == 0
    assert ece(1000 * np.eye(3), [1, 2, 0]) == 1


def test_softmax_of_large_logits_is_finite() -> None:
    np.testing.assert_array_equal(softmax(np.array([[1e30, 0.0]])), [[1, 0]])


@pytest.mark.parametrize(("logits", "y"), [(np.zeros(3), [0]), (np.zeros((2, 3)), [0]), (np.zeros((0, 3)), [])])
def test_shapes_must_fit(logits: np.ndarray, y: list[int]) -> None:
    with pytest.raises(AdapterError, match="expected logits"):
        accuracy(logits, y)
