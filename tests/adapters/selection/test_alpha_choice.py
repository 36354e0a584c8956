"""The choice of alpha and of what it depends on: brute force, and what makes the choice robust."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapters import GDA, TipAdapter
from adapters.chosen_alpha import AlphaChoice
from adapters.heads.tip import sharpened
from adapters.heads.tip.key_cache import votes
from adapters.heads.tip.sharpened import votes_at
from adapters.selection.alpha_choice import HIGHEST, Piece, choose, lines, lines_of_betas, set_chosen

BASE, Y = np.array([[0.0, 1.0]]), np.array([0])  # wrong at first, by a spread of 1


def _chosen(pieces: Iterable[Piece], chosen_on: str = "support") -> tuple[tuple[Any, ...], AlphaChoice]:
    found = choose(lines(pieces), chosen_on)
    assert found is not None
    return found


def _pieces(seed: int, settings: int, rows: int = 30) -> list[Piece]:
    """Every setting helps some rows, and one of them is scaled far off the others."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, rows)
    base = rng.normal(size=(rows, 4)).astype(np.float32)
    deltas = [
        (np.eye(4)[y] * rng.uniform(0, 2) + rng.normal(size=(rows, 4))) * 10.0 ** (i % 3) for i in range(settings)
    ]
    return [((float(i),), base, delta.astype(np.float32), y) for i, delta in enumerate(deltas)]


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_the_best_of_all_is_chosen_in_the_middle_of_an_interval_that_attains_it(seed: int, settings: int) -> None:
    pieces = _pieces(seed, settings)
    setting, choice = _chosen(pieces)
    (base, delta, y), alphas = pieces[int(setting[0])][1:], np.geomspace(1e-4, 1e4, 500)
    most = max(max(int(((b + a * d).argmax(1) == y).sum()) for a in alphas) for _, b, d, _ in pieces)
    assert round(choice.accuracy * choice.rows) >= most
    assert choice.lo <= choice.alpha <= choice.hi
    for alpha in np.linspace(choice.lo, min(choice.hi, HIGHEST), 7)[1:-1]:
        right = (base.astype(float) + alpha * delta.astype(float)).argmax(1) == y
        assert right.mean() == choice.accuracy


@given(st.integers(0, 10_000), st.sampled_from([2.0**-10, 0.5, 32.0]))
def test_the_scale_of_delta_scales_alpha_and_changes_nothing_else(seed: int, scale: float) -> None:
    setting, plain = _chosen(_pieces(seed, 5))
    same, scaled = _chosen((s, base, scale * delta, y) for s, base, delta, y in _pieces(seed, 5))
    assert (same, scaled.accuracy) == (setting, plain.accuracy)
    assert scaled.alpha * scale == pytest.approx(plain.alpha, rel=1e-4)


def test_an_interval_without_end_has_a_middle() -> None:
    """Right from alpha = 1 on, where delta weighs as much as base: a share of 1/2 to 1, so 3/4, which is alpha = 3."""
    setting, choice = _chosen([((), BASE, np.array([[1.0, 0.0]]), Y)], "held-out")
    assert setting == ()
    assert choice == (pytest.approx(3.0), 1.0, math.inf, 1.0, 1, "held-out")
    assert json.loads(json.dumps(choice.to_json()))["hi"] is None


def test_zero_shot_may_be_best() -> None:
    """Right up to alpha = 1: a share of 0 to 1/2, so 1/4."""
    _, choice = _chosen([((), BASE[:, ::-1], np.array([[0.0, 1.0]]), Y)])
    assert choice[:3] == (pytest.approx(1 / 3), 0.0, 1.0)


def test_of_equal_settings_the_widest_interval_wins_and_then_the_first() -> None:
    deltas = {"narrow": 0.5, "wide": 4.0, "as wide": 4.0}  # right from alpha = 2, 1/4, 1/4 on
    right = np.array([[1.0, 0.0]])
    # A second row, on which base and delta weigh the same, keeps the units close to each other.
    pieces = [
        ((name,), np.concatenate([BASE, 9 * BASE]), np.concatenate([d * right, 9 * right]), np.zeros(2, int))
        for name, d in deltas.items()
    ]
    assert [line.right for line in lines(pieces).values()] == [2, 2, 2]
    setting, choice = _chosen(pieces)
    assert setting == ("wide",)
    assert choice.lo == 1.0


def test_nothing_is_chosen_where_nothing_is_better() -> None:
    constant = np.ones((1, 2))
    assert choose(lines([((beta,), BASE, beta * constant, Y) for beta in (1.0, 2.0)]), "support") is None
    head = GDA(alpha=0.3)
    set_chosen(head, lines([((), BASE, constant, Y)]), [], None)
    assert head.alpha == 0.3
    assert "no setting did better" in head.selection_note_
    assert head.alpha_choice_[:3] == (0.3, 0.0, np.inf)  # every one is as good


def test_a_setting_without_effect_may_still_be_the_better_one() -> None:
    flat = (((1.0,), BASE, BASE, Y), ((2.0,), BASE[:, ::-1], BASE[:, ::-1], Y))  # never right; always right
    setting, choice = _chosen(flat)
    assert setting == (2.0,)
    assert choice[:3] == (pytest.approx(1.0), 0.0, math.inf)


def test_blocks_in_any_order_change_nothing() -> None:
    whole = _pieces(3, 4)
    parts = [(s, b[rows], d[rows], y[rows]) for s, b, d, y in whole for rows in (slice(0, 11), slice(11, 30))]
    order = np.random.default_rng(0).permutation(len(parts))
    (setting, plain), (same, cut) = _chosen(whole), _chosen(parts[i] for i in order)
    assert same == setting
    np.testing.assert_allclose(cut[:5], plain[:5], rtol=1e-6)


@pytest.mark.parametrize("affinities", [10, 1 << 40])
def test_betas_are_all_tried_where_cheap_and_few_elsewhere(affinities: int) -> None:
    betas, asked = np.linspace(0.1, 12, 200), []

    def pieces_at(some: Sequence[float]) -> Iterator[Piece]:
        asked.append(list(some))
        for beta in some:
            right = int(100 * np.exp(-((beta - 6.37) ** 2)))
            delta = np.where(np.arange(100)[:, None] < right, [[1.0, 0.0]], [[-1.0, 0.0]])
            for gamma in (0.0, 1.0):
                yield (beta, gamma), np.repeat(BASE, 100, 0), gamma * delta, np.zeros(100, int)

    found = lines_of_betas(pieces_at, betas, affinities)
    beta, gamma = max(found, key=lambda setting: found[setting].right)
    assert abs(beta - 6.37) < 0.06
    assert gamma == 1.0
    if affinities == 10:
        assert asked == [betas.tolist()]
    else:
        assert len(asked) == 5  # passes over the affinities
        assert len(found) < 100


def test_a_chosen_head_keeps_its_choice_when_fitted_and_loses_it_when_cloned() -> None:
    from sklearn.base import clone

    rng = np.random.default_rng(0)
    text, y = np.eye(4, 8) + 0.2, np.repeat(np.arange(4), 4)
    X = np.eye(4, 8)[y] + 0.5 * rng.normal(size=(16, 8))
    head = TipAdapter().tuned(X, y, text=text).fit(X, y, text=text)
    assert isinstance(head.alpha_choice_, AlphaChoice)
    assert head.alpha_choice_.alpha == head.alpha
    assert head.alpha_choice_.rows == 16
    assert not hasattr(clone(head), "alpha_choice_")
    assert not hasattr(TipAdapter(alpha=2.0).fit(X, y, text=text), "alpha_choice_")


@pytest.mark.parametrize("size", [1, 40, 1 << 18])
def test_cache_logits_at_many_betas_are_those_at_each(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    rng = np.random.default_rng(0)
    affinity = torch.from_numpy(rng.uniform(-1, 1, (7, 10)).astype(np.float32))
    affinity[2, 3:] = -torch.inf
    labels = torch.from_numpy(rng.integers(0, 4, 10)).expand(7, 10)
    weights = [None, torch.from_numpy(rng.uniform(0, 2, 10).astype(np.float32))]
    monkeypatch.setattr(sharpened, "SLICE", size)
    given = affinity.clone()
    for beta, found in votes_at(affinity, labels, [0.5, 7.0], 5, weights):
        for logits, weight in zip(found, weights, strict=True):
            assert torch.allclose(logits, votes(given, labels, beta, 5, weight))
    assert torch.equal(affinity, given)
