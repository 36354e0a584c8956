"""Tip-X against the authors' code: divergences, logits and the search, with their ranges and with ours."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.heads.tip import tip_x
from adapters.heads.tip.tip_x import TextView, TipX, divergences, search_grid, support_ranges
from adapters.selection.alpha_choice import lines
from adapters.support import Rows
from tests.golden_files import golden

DATA, SUPPORT, TEXT, EXPECTED = golden("data", "support", "text_weights", "tip_x")
TIP, TEST, VAL = TEXT["tip"], unit(DATA["test_features"]), unit(DATA["val_features"])
GRID, ALPHAS = search_grid(steps=(10, 6)), 0.1 + np.arange(8) * (50 - 0.1) / 8


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


def _released_ranges(head: TipX, rows: np.ndarray) -> np.ndarray:
    """The released code: divergences of the rows evaluated to the keys, but always the validation affinities."""
    kl = divergences(TextView.of(rows, unit(TIP)), TextView.of(head.keys_, unit(TIP)))
    affinity = VAL @ head.keys_.T
    return np.array([[kl.min(), kl.max()], [affinity.min(), affinity.max()]], dtype=np.float32)


@pytest.mark.parametrize("shots", [4, 16])
def test_divergences_are_the_authors(shots: int) -> None:
    head = TipX().fit(*_support(shots), text=TIP)
    text = unit(TIP)
    kl = divergences(TextView.of(TEST[:20], text), TextView.of(head.keys_, text))
    np.testing.assert_allclose(kl, EXPECTED[f"k{shots}_kl_test"], atol=1e-6)
    p, q = (softmax(rows.astype(np.float64) @ text.T / 0.5, axis=1) for rows in (TEST[:20], head.keys_))
    np.testing.assert_allclose(kl, rel_entr(p[:, None], q).sum(2), atol=1e-6)


@pytest.mark.parametrize("shots", [4, 16])
def test_with_the_released_ranges_search_and_logits_are_the_authors(shots: int) -> None:
    views, labels = _support(shots)
    head = TipX().fit(views, labels, text=TIP)
    head.ranges_ = _released_ranges(head, VAL)
    found = lines(head._pieces(Rows(VAL, DATA["val_labels"]), GRID.betas.tolist(), GRID.gammas))
    expected = EXPECTED[f"k{shots}_val_correct"]  # (alphas, betas, gammas)
    correct = [np.round(len(VAL) * found[b, c].path.accuracy(ALPHAS)) for b in GRID.betas for c in GRID.gammas]
    difference = np.abs(np.array(correct).T.reshape(expected.shape) - expected)
    assert difference.max() <= 1
    assert (difference > 0).sum() <= 4  # near-ties may flip with the processor's rounding
    best = dict(zip(("alpha", "beta", "gamma"), EXPECTED[f"k{shots}_best"], strict=True))
    released = TipX(**best).fit(views, labels, text=TIP)
    released.ranges_ = _released_ranges(released, TEST)
    np.testing.assert_allclose(released.decision_function(TEST), EXPECTED[f"k{shots}_logits_best"], atol=5e-3, rtol=0)


def test_ranges_are_those_between_different_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    head = TipX().fit(*_support(4), text=TIP)
    keys, text, other = head.keys_, unit(TIP), ~np.eye(40, dtype=bool)
    views = TextView.of(keys, text)
    kl, affinity = divergences(views, views)[other], (keys @ keys.T)[other]
    np.testing.assert_allclose(head.ranges_, [[kl.min(), kl.max()], [affinity.min(), affinity.max()]], atol=1e-7)
    monkeypatch.setattr(tip_x, "BLOCK", 40 * 7)
    np.testing.assert_allclose(support_ranges(keys, text), head.ranges_, atol=1e-7)


def test_divergence_votes_are_summed_over_the_keys_of_a_class() -> None:
    head = TipX().fit(*_support(4), text=TIP)
    text = unit(TIP)
    kl = divergences(TextView.of(TEST, text), TextView.of(head.keys_, text))
    (low, high), (bottom, top) = head.ranges_
    rescaled = (kl - low) / (high - low) * (top - bottom) + bottom
    np.testing.assert_allclose(head._divergence_votes(TEST), rescaled @ np.eye(10)[head.cache_.labels], atol=1e-4)


def test_gamma_zero_is_tip_adapter() -> None:
    from adapters import TipAdapter

    views, labels = _support(4)
    head = TipX(gamma=0.0).fit(views, labels, text=TIP)
    tip = TipAdapter().fit(views, labels, text=TIP)
    np.testing.assert_array_equal(head.decision_function(TEST), tip.decision_function(TEST))


def test_parts_add_up() -> None:
    head = TipX(alpha=0.7).fit(*_support(4), text=TIP)
    base, delta = head.parts(TEST)
    np.testing.assert_allclose(base + np.float32(0.7) * delta, head.decision_function(TEST))


@pytest.mark.parametrize("wrong", [{"alpha": -1.0}, {"beta": -1.0}, {"gamma": -1.0}])
def test_parameters_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        TipX(**wrong).fit(np.eye(4), [0, 1, 2, 3])
