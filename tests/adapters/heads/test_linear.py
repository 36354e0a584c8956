from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from adapters import LinearProbe
from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.heads.linear import search_c
from tests.golden_files import golden

DATA, SUPPORT, TEXT = golden("data", "support", "text_weights")
ROWS = SUPPORT["rows_k4"]
CENTER, LABELS = SUPPORT["center"][ROWS], SUPPORT["labels"][ROWS]
TEST = DATA["test_features"], DATA["test_labels"]


@pytest.mark.parametrize("classes", [10, 2])
def test_probabilities_are_scikit_learns(classes: int) -> None:
    kept = np.isin(LABELS, range(classes))
    head = LinearProbe(C=1.0).fit(CENTER[kept], LABELS[kept])
    reference = LogisticRegression(C=1.0, tol=1e-8).fit(unit(CENTER[kept]).astype(np.float64), LABELS[kept])
    assert head.decision_function(TEST[0]).shape == (400, classes)
    np.testing.assert_allclose(head.predict_proba(TEST[0]), reference.predict_proba(unit(TEST[0])), atol=1e-3)


def test_views_are_extra_rows() -> None:
    views = SUPPORT["views"][:3, ROWS].transpose(1, 0, 2)
    stacked = LinearProbe().fit(views.reshape(-1, 64), np.repeat(LABELS, 3))
    np.testing.assert_allclose(LinearProbe().fit(views, LABELS).weight_, stacked.weight_, atol=1e-5)


@pytest.mark.parametrize("c", [1e6, 1e-6])
def test_extreme_penalties_neither_warn_nor_fail(c: float) -> None:
    head = LinearProbe(C=c).fit(CENTER, LABELS, text=TEXT["tip"])
    assert np.isfinite(head.weight_).all()
    assert head.score(CENTER, LABELS) > 0.6
    assert 0 < head.n_iter_ < head.max_iter


def test_classes_without_rows_are_never_predicted() -> None:
    kept = LABELS >= 3
    head = LinearProbe().fit(CENTER[kept], LABELS[kept], text=TEXT["tip"])
    assert head.decision_function(TEST[0]).shape == (400, 10)
    assert head.predict(TEST[0]).min() == 3
    assert head.predict_proba(TEST[0])[:, :3].max() == 0
    one = LinearProbe().fit(CENTER[:2], [7, 7], text=TEXT["tip"])
    assert set(one.predict(TEST[0])) == {7}


def test_search_follows_the_published_steps() -> None:
    tried: list[float] = []

    def score(c: float) -> float:
        tried.append(np.log10(c))
        return -abs(np.log10(c) - 2.3)

    chosen = search_c(score)
    np.testing.assert_allclose(tried[:9], [6, 4, 2, 0, -2, -4, -6, 1, 3])
    assert np.log10(chosen) == pytest.approx(2.3, abs=0.02)
    assert len(tried) == len(set(tried)) == 7 + 2 + 6  # a value is scored once: 10^2 comes twice


def test_search_prefers_the_grid_where_halving_ends_lower() -> None:
    assert search_c(lambda c: float(c == 1.0)) == 1.0


def test_penalty_is_chosen_on_held_out_rows_or_shots() -> None:
    weak = LinearProbe(C=1e-6).fit(CENTER, LABELS, text=TEXT["tip"]).score(*TEST)
    for rows in ((DATA["val_features"], DATA["val_labels"]), None):
        chosen = LinearProbe().tuned(CENTER, LABELS, text=TEXT["tip"], held_out=rows)
        assert chosen.C != LinearProbe().C
        assert chosen.fit(CENTER, LABELS, text=TEXT["tip"]).score(*TEST) >= weak


def test_penalty_must_be_positive() -> None:
    with pytest.raises(AdapterError, match="C=0"):
        LinearProbe(C=0).fit(CENTER, LABELS)


def test_many_classes_are_learnt_too() -> None:
    """Regression: with 1,000 classes a fixed bound on the gradient was met before the first step."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(1000, 32))
    labels = np.repeat(np.arange(1000), 2)
    rows = directions[labels] + 0.1 * rng.normal(size=(2000, 32))
    head = LinearProbe(max_iter=30).fit(rows, labels)
    assert head.n_iter_ > 1
    assert head.score(rows, labels) > 0.9
