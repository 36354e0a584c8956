"""SS-Text and SS-Text-U against the equations, written out."""

from __future__ import annotations

import numpy as np
import pytest

from adapters import SSText, SSTextU, TipAdapter, load
from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.heads.ss_text.ss_text_u import class_shares, sinkhorn
from tests.golden_files import golden

DATA, SUPPORT, WEIGHTS = golden("data", "support", "text_weights")
TEST, TEXT = DATA["test_features"], WEIGHTS["tip"]
ROWS = SUPPORT["rows_k4"]
CENTER, LABELS = SUPPORT["center"][ROWS], SUPPORT["labels"][ROWS]
OTHERS = DATA["val_features"]
UNEQUAL = np.flatnonzero(LABELS > 0)[:-1]  # no shot of class 0, three of the last


def _logits(weight: np.ndarray) -> np.ndarray:
    return np.asarray(100 * unit(TEST) @ (weight / np.linalg.norm(weight, axis=1, keepdims=True)).T)


@pytest.mark.parametrize("variant", ["ss-text", "ss-text+"])
@pytest.mark.parametrize("rows", [np.arange(40), UNEQUAL], ids=["equal", "unequal"])
def test_is_the_equations(variant: str, rows: np.ndarray) -> None:
    X, y = unit(CENTER[rows]).astype(np.float64), LABELS[rows]
    moved = np.zeros((10, 64))
    for c in range(10):
        own = X[y == c]
        lam = 1 / len(y) if variant == "ss-text" else 1 / len(own) if len(own) else np.inf
        moved[c] = 100 / len(y) / lam * own.sum(0)
    if variant == "ss-text+":
        away = 2 * (TEXT + moved) - (TEXT + moved).mean(0)
        moved -= away / np.linalg.norm(away, axis=1, keepdims=True)
    head = SSText(alpha=0.3, variant=variant).fit(CENTER[rows], y, text=TEXT)  # type: ignore[arg-type]
    np.testing.assert_allclose(head.decision_function(TEST), _logits(TEXT + 0.3 * moved), atol=1e-3)


def test_rows_without_labels_are_shared_out_as_written() -> None:
    X, G = unit(CENTER[UNEQUAL]).astype(np.float64), unit(OTHERS).astype(np.float64)
    y, weight = LABELS[UNEQUAL], TEXT.astype(np.float64)
    shots = np.bincount(y, minlength=10)
    share = np.where(shots > 0, shots / len(y), (shots[shots > 0] / len(y)).min() / 4)
    share /= share.sum()
    for _ in range(3):
        q = np.exp(100 * G @ (weight / np.linalg.norm(weight, axis=1, keepdims=True)).T)
        q /= q.sum()
        for _ in range(10):
            q = q / q.sum(0, keepdims=True) * share
            q = q / q.sum(1, keepdims=True) / len(G)
        q *= len(G)
        labelled = np.stack([100 * shots[c] / (2 * len(y)) * X[y == c].sum(0) for c in range(10)])
        weight = TEXT + 0.2 * (labelled + 100 / len(G) * q.T @ G)
    rows = np.concatenate([CENTER[UNEQUAL], OTHERS])
    labels = np.concatenate([y, np.full(len(OTHERS), -1)])
    head = SSTextU(alpha=0.2).fit(rows, labels, text=TEXT)
    np.testing.assert_allclose(head.decision_function(TEST), _logits(weight), atol=1e-3)
    assert "300 training images outside the shots were seen too" in head.prediction_note(TEST)


def test_shares_sum_to_one_and_follow_the_classes() -> None:
    rng = np.random.default_rng(0)
    share = class_shares(np.array([4.0, 4.0, 0.0]))
    np.testing.assert_allclose(share, [4 / 9, 4 / 9, 1 / 9])
    q = sinkhorn(rng.normal(size=(200, 3)), share)
    np.testing.assert_allclose(q.sum(1), 1)
    np.testing.assert_allclose(q.mean(0), share, atol=1e-3)
    assert np.isfinite(sinkhorn(rng.normal(size=(20, 3)) * 200, share)).all()


def test_views_of_a_row_without_a_label_are_averaged(tmp_path: object) -> None:
    labels = np.concatenate([LABELS, np.full(len(OTHERS), -1)])
    rows = np.concatenate([CENTER, OTHERS])
    plain = SSTextU().fit(rows, labels, text=TEXT)
    head = SSTextU().fit(np.repeat(rows[:, None], 2, axis=1), labels, text=TEXT)
    np.testing.assert_allclose(head.weight_, plain.weight_, atol=1e-6)
    head.save(f"{tmp_path}/run")
    assert load(f"{tmp_path}/run").prediction_note(TEST) == head.prediction_note(TEST)


def test_only_a_head_that_takes_them_takes_rows_without_labels() -> None:
    labels = np.where(np.arange(40) % 4, LABELS, -1)
    SSTextU().fit(CENTER, labels, text=TEXT)
    for make in (SSText, TipAdapter):
        with pytest.raises(AdapterError, match=r"y spans -1\.\.9"):
            make().fit(CENTER, labels, text=TEXT)


def test_folds_of_the_shots_keep_the_rows_without_labels() -> None:
    labels = np.concatenate([LABELS, np.full(len(OTHERS), -1)])
    rows = np.concatenate([CENTER, OTHERS])
    seen: list[int] = []

    class Counting(SSTextU):
        def _fit(self, support: object) -> None:
            super()._fit(support)  # type: ignore[arg-type]
            seen.append(self.unlabelled_)

    Counting().tuned(rows, labels, text=TEXT)
    assert set(seen) == {len(OTHERS)}


@pytest.mark.parametrize(
    ("labels", "told"),
    [(np.r_[LABELS, -1], r"y has shape \(41,\)"), (np.full(40, -1), "all 40 labels of y are -1")],
    ids=["too many", "none"],
)
def test_labels_that_do_not_fit_are_named(labels: np.ndarray, told: str) -> None:
    for text in (TEXT, None):
        with pytest.raises(AdapterError, match=told):
            SSTextU().fit(CENTER, labels, text=text)


def test_a_class_whose_shots_cancel_out_has_no_direction() -> None:
    head = SSTextU().fit(np.array([[1, 0], [-1, 0], [0, 1], [0.6, 0.8]]), [0, 0, 1, -1])
    np.testing.assert_array_equal(np.linalg.norm(head.text_, axis=1), [0, 1])
    assert np.isfinite(head.decision_function(np.eye(2))).all()
