"""APE against the authors' code: criterion, channels, logits and the search."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.heads.tip.ape import APE, criterion, search_grid
from adapters.selection.alpha_choice import lines
from adapters.support import Rows, Support
from tests.golden_files import golden

DATA, SUPPORT, TEXT, EXPECTED = golden("data", "support", "text_weights", "ape")
TIP, TEST, VAL = TEXT["tip"], DATA["test_features"], (DATA["val_features"], DATA["val_labels"])
SETTING = {"channels": int(EXPECTED["num_channels"]), "similarity_weight": float(EXPECTED["criterion_weights"][0])}


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


@pytest.mark.parametrize("shots", [4, 16])
def test_is_the_authors(shots: int) -> None:
    views, labels = _support(shots)
    worth = criterion(Support.check(views, labels, TIP), SETTING["similarity_weight"])
    np.testing.assert_allclose(worth, EXPECTED[f"k{shots}_criterion"], atol=1e-6)
    for (alpha, beta, gamma), expected in zip(EXPECTED["alpha_beta_gamma"], EXPECTED[f"k{shots}_logits"], strict=True):
        head = APE(alpha=alpha, beta=beta, gamma=gamma, **SETTING).fit(views, labels, text=TIP)
        np.testing.assert_array_equal(head.channels_, EXPECTED[f"k{shots}_channels"])
        np.testing.assert_allclose(head.decision_function(TEST), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("shots", [4, 16])
def test_search_is_the_authors(shots: int) -> None:
    views, labels = _support(shots)
    (beta_top, alpha_top, gamma_top), (betas, alphas, gammas) = EXPECTED["search_scale"], EXPECTED["search_step"]
    grid = search_grid((beta_top, gamma_top), (betas, gammas))
    head = APE(**SETTING).fit(views, labels, text=TIP)
    found = lines(head._pieces(Rows(unit(VAL[0]), VAL[1]), grid.betas.tolist(), grid.gammas))
    expected = EXPECTED[f"k{shots}_val_correct"]  # (betas, alphas, gammas)
    at = 0.1 + np.arange(alphas) * (alpha_top - 0.1) / alphas
    correct = [[np.round(len(VAL[1]) * found[b, c].path.accuracy(at)) for c in grid.gammas] for b in grid.betas]
    difference = np.abs(np.array(correct).transpose(0, 2, 1) - expected)
    assert difference.max() <= 1
    assert (difference > 0).sum() <= 4  # near-ties may flip with the processor's rounding
    best = dict(zip(("alpha", "beta", "gamma"), EXPECTED[f"k{shots}_best"][:3], strict=True))
    logits = APE(**best, **SETTING).fit(views, labels, text=TIP).decision_function(TEST)
    np.testing.assert_allclose(logits, EXPECTED[f"k{shots}_logits_best"], atol=1e-3, rtol=0)


def test_criterion_is_the_mean_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    rows, text, labels = rng.normal(size=(5, 6)), rng.normal(size=(3, 6)), np.array([0, 0, 1, 2, 2])
    support = Support.check(rows, labels, text)
    members = [np.concatenate([support.text[c, None], support.means[labels == c]]) for c in range(3)]
    similarity = np.mean(
        [
            np.mean([a * b for a, b in product(members[i], members[j])], axis=0)
            for i, j in product(range(3), repeat=2)
            if i != j
        ],
        axis=0,
    )
    np.testing.assert_allclose(criterion(support, 1.0), -similarity, atol=1e-6)
    np.testing.assert_allclose(criterion(support, 0.0), support.text.var(0, ddof=1), atol=1e-6)


def test_all_channels_unweighted_is_tip_adapter() -> None:
    from adapters import TipAdapter

    views, labels = _support(4)
    ape = APE(alpha=2.0, beta=3.0, gamma=0.0, channels=64).fit(views, labels, text=TIP)
    tip = TipAdapter(alpha=2.0, beta=3.0).fit(views, labels, text=TIP)
    np.testing.assert_allclose(ape.decision_function(TEST), tip.decision_function(TEST), atol=1e-4)


def test_keeps_the_authors_share_of_the_channels() -> None:
    assert APE().fit(*_support(4), text=TIP).channels_.shape == (44,)


def test_parts_add_up() -> None:
    head = APE(alpha=0.7, gamma=0.5).fit(*_support(4), text=TIP)
    base, delta = head.parts(TEST)
    np.testing.assert_allclose(base + np.float32(0.7) * delta, head.decision_function(TEST))


@pytest.mark.parametrize(
    "wrong",
    [{"alpha": -1.0}, {"beta": -1.0}, {"gamma": -1.0}, {"channels": 0}, {"channels": 5}, {"similarity_weight": 2.0}],
)
def test_parameters_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        APE(**wrong).fit(np.eye(4), [0, 1, 2, 3])
