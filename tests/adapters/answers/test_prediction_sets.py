"""Prediction sets: against brute force, coverage over random splits, and MAPIE's promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.answers.prediction_sets import per_class, prediction_sets, set_scores, set_thresholds
from adapters.metrics import softmax


def world(rows: int, seed: int, classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, C) of a head that is wrong in many cases, and surer than it should be; and labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes))
    labels = np.array([rng.choice(classes, p=row) for row in softmax(1.5 * logits)])
    return softmax(2 * logits), labels


@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.2, 0.5]), min_size=1, max_size=6))
def test_scores_are_what_comes_before_a_class(weights: list[float]) -> None:
    p = np.array(weights)
    (scores,) = set_scores(p[None])
    order = sorted(range(len(p)), key=lambda c: (-p[c], c))
    for place, c in enumerate(order):
        before, rest = (sum(p[other] for other in part) for part in (order[:place], order[1:]))
        expected = before if place else (math.log(rest) if rest else -math.inf)
        assert scores[c] == pytest.approx(expected)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_mean_coverage_over_random_splits_is_what_was_asked_for(coverage: float) -> None:
    p, labels = world(3000, seed=1)
    rng, found = np.random.default_rng(2), []
    for _ in range(100):
        order = rng.permutation(len(p))
        held, new = order[:500], order[500:]
        sets = prediction_sets(p[new], set_thresholds(p[held], labels[held], coverage))
        found.append(sets[np.arange(len(new)), labels[new]].mean())
    assert abs(np.mean(found) - coverage) < 0.01


def test_a_head_that_is_sure_of_every_image_is_covered_as_often_as_asked_for() -> None:
    p, labels = world(2000, seed=7)
    sure = softmax(60 * np.log(p))
    assert (sure.max(1) == 1).mean() > 0.5
    sets = prediction_sets(sure[1000:], set_thresholds(sure[:1000], labels[:1000], 0.3))
    assert abs(sets[np.arange(1000), labels[1000:]].mean() - 0.3) < 0.05


def test_few_images_give_every_class_and_never_less_than_asked() -> None:
    p, labels = world(8, seed=3)
    thresholds = set_thresholds(p, labels, 0.9)
    assert np.isinf(thresholds).all()
    assert prediction_sets(p, thresholds).all()
    p, labels = world(9, seed=3)
    assert np.isfinite(set_thresholds(p, labels, 0.9)).all()


def test_each_class_has_its_own_threshold_where_it_has_enough_images() -> None:
    p, labels = world(3000, seed=4)
    p[labels == 0] = world(int((labels == 0).sum()), seed=6)[0]  # a class of which the head knows nothing
    assert per_class(labels, 6, 0.9)
    assert not per_class(labels[labels > 0], 6, 0.9)
    sets = prediction_sets(p, set_thresholds(p, labels, 0.9))
    for c in range(6):
        assert abs(sets[labels == c, c].mean() - 0.9) < 0.03 + 1 / np.sum(labels == c)


def test_sets_are_no_larger_than_those_of_mapie_at_the_same_coverage() -> None:
    mapie = pytest.importorskip("mapie.conformity_scores.sets", reason="pip install mapie to compare with it")
    classification = pytest.importorskip("mapie.classification")
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """Takes rows of probabilities for features."""

        def fit(self, X: np.ndarray, y: np.ndarray) -> Given:
            self.classes_, self.fitted_ = np.unique(y), True
            return self

        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            return X

        def predict(self, X: np.ndarray) -> np.ndarray:
            return np.asarray(X.argmax(1))

    p, labels = world(4000, seed=5, classes=30)
    assert not per_class(labels[:1000], 30, 0.9)
    held, new = slice(0, 1000), slice(1000, None)
    theirs = classification.SplitConformalClassifier(
        Given().fit(p[held], labels[held]),
        confidence_level=0.9,
        conformity_score=mapie.APSConformityScore(),
        prefit=True,
        random_state=1,
    ).conformalize(p[held], labels[held])
    _, sets = theirs.predict_set(p[new], conformity_score_params={"include_last_label": True})
    sets = sets[:, :, 0]
    ours = prediction_sets(p[new], set_thresholds(p[held], labels[held], 0.9))
    covered = [each[np.arange(3000), labels[new]].mean() for each in (ours, sets)]
    assert abs(covered[0] - 0.9) < 0.02
    assert covered[1] >= covered[0]  # theirs count the class that crosses the threshold and so hold more
    assert ours.sum(1).mean() <= sets.sum(1).mean()


@pytest.mark.parametrize("percent", [1, 29, 35, 57, 90, 95, 99])
def test_the_threshold_is_the_score_of_that_rank(percent: int) -> None:
    p, labels = world(400, seed=8, classes=40)
    for rows in (1, 19, 49, 99, 199):
        own = sorted(set_scores(p[:rows])[np.arange(rows), labels[:rows]])
        k = -(-percent * (rows + 1) // 100)
        thresholds = set_thresholds(p[:rows], labels[:rows], percent / 100)
        assert set(thresholds) == {own[k - 1] if k <= rows else math.inf}
    own = set_scores(p[:5])[np.arange(5), labels[:5]]
    assert set(set_thresholds(p[:5], labels[:5], 1e-12)) == {min(own)}
