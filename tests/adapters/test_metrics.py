from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from adapters.errors import AdapterError
from adapters.metrics import accuracy, difference, ece, paired_interval, reliability, softmax, wilson
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


@pytest.mark.parametrize(("right", "total"), [(0, 5), (5, 5), (7, 12), (800, 1000)])
def test_wilsons_interval(right: int, total: int) -> None:
    expected = binomtest(right, total).proportion_ci(0.95, method="wilson")
    assert wilson(right, total) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_a_paired_difference_covers_the_true_one_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        either = rng.random((200, 2))
        right, other = either[:, 0] < 0.8, np.where(either[:, 1] < 0.7, either[:, 0] < 0.75, either[:, 1] < 0.9)
        low, high = difference(right, other).interval
        covered += low <= 0.8 - (0.7 * 0.75 + 0.2) <= high
    assert covered / 400 == pytest.approx(0.95, abs=0.03)


def test_a_difference_says_whether_it_is_sure() -> None:
    right = np.ones(100, bool)
    assert difference(right, right).sure is False
    assert difference(right, ~right).sure is True
    assert difference(right, ~right).accuracy == 1.0


def test_a_paired_interval_over_seeds_is_wider_than_over_one() -> None:
    rng = np.random.default_rng(0)
    gains = (rng.random((3, 500)) < np.array([[0.0], [0.2], [0.4]])).astype(np.int8)
    low, high = paired_interval(gains)
    assert low < 0.1 < 0.3 < high
    one = paired_interval(gains[1:2])
    assert high - low > 3 * (one[1] - one[0])
