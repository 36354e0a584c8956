"""Scores of a split against scikit-learn, torchmetrics and brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from adapters import metrics
from adapters.metrics import ece, ece_equal_mass, softmax
from adapters.scores import score_logits


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


def test_scores_have_the_same_bits_in_blocks(
    rows: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, labels = rows
    whole = score_logits(logits, labels), ece(logits, labels)
    monkeypatch.setattr(metrics, "BLOCK", 7)
    assert (score_logits(logits, labels), ece(logits, labels)) == whole
