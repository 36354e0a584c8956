"""Scores of a split against scikit-learn, torchmetrics and brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn import metrics as sk
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from adapters.metrics import ece_equal_mass, softmax
from adapters.scores import difference, paired_interval, score_logits, wilson


@pytest.fixture(params=[(300, 12), (47, 3)])
def rows(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Logits of uneven classes; the last has no row."""
    n, classes = request.param
    rng = np.random.default_rng(n)
    labels = rng.choice(classes - 1, size=n, p=np.arange(1, classes) / np.arange(1, classes).sum())
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    return logits.astype(np.float32), labels


def test_scores_are_those_of_scikit_learn(rows: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = rows
    found, p, predicted = score_logits(logits, labels), softmax(logits), logits.argmax(1)
    everything = np.arange(logits.shape[1])
    assert found.rows == len(labels)
    assert found.accuracy == pytest.approx(sk.accuracy_score(labels, predicted), abs=1e-6)
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert found.balanced_accuracy == pytest.approx(sk.balanced_accuracy_score(labels, predicted), abs=1e-6)
    assert found.macro_f1 == pytest.approx(sk.f1_score(labels, predicted, average="macro"), abs=1e-6)
    assert found.nll == pytest.approx(sk.log_loss(labels, p, labels=everything), abs=1e-6)
    assert found.brier == pytest.approx(np.square(p - np.eye(len(everything))[labels]).sum(1).mean(), abs=1e-6)
    if len(everything) < 10:
        assert found.top5 is None
    else:
        assert found.top5 == pytest.approx(sk.top_k_accuracy_score(labels, p, k=5, labels=everything), abs=1e-6)


def test_scores_are_those_of_torchmetrics(rows: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = rows
    given = torch.from_numpy(logits), torch.from_numpy(labels), logits.shape[1]
    found = score_logits(logits, labels)
    recalls = multiclass_accuracy(*given, average="none").numpy()
    assert found.accuracy == pytest.approx(float(multiclass_accuracy(*given, average="micro")), abs=1e-6)
    assert found.balanced_accuracy == pytest.approx(float(recalls[np.unique(labels)].mean()), abs=1e-6)
    assert found.macro_f1 == pytest.approx(float(multiclass_f1_score(*given, average="macro")), abs=1e-6)


def test_ece_of_equal_mass_by_hand(rows: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = rows
    p = softmax(logits)
    order = np.argsort(p.max(1), kind="stable")
    expected = 0.0
    for part in np.array_split(order, 15):
        right, sure = (p.argmax(1) == labels)[part].mean(), p.max(1)[part].mean()
        expected += len(part) / len(labels) * abs(right - sure)
    assert ece_equal_mass(logits, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("right", "total"), [(0, 5), (5, 5), (7, 12), (800, 1000)])
def test_wilsons_interval(right: int, total: int) -> None:
    expected = binomtest(right, total).proportion_ci(0.95, method="wilson")
    assert wilson(right, total) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_bootstrap_keeps_the_classes(rows: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = rows
    right = logits.argmax(1) == labels
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(3000):
        of_classes = [right[rng.choice(np.flatnonzero(labels == c), (labels == c).sum())].mean() for c in set(labels)]
        drawn.append(np.mean(of_classes))
    found = score_logits(logits, labels).balanced_accuracy_interval
    assert found == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.015)


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
