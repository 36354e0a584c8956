"""Weights of a mixture."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.heads.auto.mixing import agreement, em_weights, prior_weights


def test_weights_maximise_the_likelihood() -> None:
    rng = np.random.default_rng(0)
    likelihoods = rng.dirichlet(np.ones(3), size=50).T
    found = em_weights(likelihoods)
    assert found.sum() == pytest.approx(1)
    grid = np.linspace(0, 1, 101)
    best = max(
        np.log(a * likelihoods[0] + b * likelihoods[1] + (1 - a - b) * likelihoods[2]).sum()
        for a in grid
        for b in grid[grid <= 1 - a + 1e-9]
    )
    assert np.log(found @ likelihoods).sum() >= best - 1e-3


def test_the_prior_trusts_zero_shot_where_it_is_right_and_prototypes_are_not() -> None:
    def prior(p: float, q: float) -> np.ndarray:
        found = prior_weights(5, 1, p=p, q=q, chance=0.1)
        assert found.sum() == pytest.approx(1)
        assert (found >= 0).all()
        return found

    assert prior(0.75, 0.86)[0] == pytest.approx(0.86**2)  # shots say less than the texts do
    assert prior(0.93, 0.94)[0] == pytest.approx(0.94**2 * (1 - 0.93 / 0.94) / 0.1)
    assert prior(1.0, 0.5)[0] == pytest.approx(0.025)
    assert prior(0.9, 0.9)[1] == 0  # a text that says something is not done without
    text_of_no_use = prior(0.0, 0.0)
    assert text_of_no_use[0] == 0
    assert text_of_no_use[1] > 2 * text_of_no_use[2]
    assert prior_weights(3, None, p=1, q=0, chance=0.1) == pytest.approx([0, 0.5, 0.5])


def test_agreement_is_counted_over_classes_and_shots() -> None:
    text = np.eye(4, dtype=np.float32)
    labels = np.repeat(np.arange(4), 2)
    assert agreement(text[labels], labels, text) == (1.0, 1.0)
    wrong = text[[1, 1, 1, 1, 2, 2, 3, 3]]
    p, q = agreement(wrong, labels, text)
    assert q == 6 / 8
    assert p < 1


def test_a_single_class_is_no_chance() -> None:
    assert prior_weights(3, 1, p=1.0, q=1.0, chance=1.0).sum() == pytest.approx(1)
