"""Tip-Adapter against the authors' code: keys, logits and the whole search grid."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from adapters import TipAdapter, ZeroShot
from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.heads.tip import key_cache
from adapters.heads.tip.tip_search import SEARCH_SCALE, held_out_logits, pieces, search_grid
from adapters.selection import alpha_choice
from adapters.selection.alpha_choice import lines
from adapters.support import Rows, Support
from tests.golden_files import golden
from tests.rounding import GPU

DATA, SUPPORT, TEXT, TIP = golden("data", "support", "text_weights", "tip_adapter")


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


@pytest.mark.parametrize("shots", [4, 16])
@pytest.mark.parametrize("all_neighbours", [False, True])
def test_logits_are_the_authors(shots: int, all_neighbours: bool) -> None:
    views, labels = _support(shots)
    for (alpha, beta), expected in zip(TIP["alpha_beta"], TIP[f"k{shots}_logits"], strict=True):
        head = TipAdapter(alpha=alpha, beta=beta, neighbours=len(labels) if all_neighbours else None)
        head.fit(views, labels, text=TEXT["tip"])
        np.testing.assert_allclose(head.keys_, TIP[f"k{shots}_keys"], atol=1e-6)
        np.testing.assert_allclose(head.decision_function(DATA["test_features"]), expected, atol=1e-3, rtol=0)


def test_search_grid_is_the_authors() -> None:
    betas, alphas = search_grid(tuple(TIP["search_scale"]))
    np.testing.assert_allclose(betas, TIP["betas"], rtol=1e-12)
    np.testing.assert_allclose(alphas, TIP["alphas"], rtol=1e-12)


def _grid_counts(head: TipAdapter, support: Support, rows: Rows | None, scale: tuple[float, float]) -> np.ndarray:
    """Right answers of every (beta, alpha) of the published grid, read off the exact paths."""
    betas, alphas = search_grid(scale)
    paths = [line.path for line in lines(pieces(head._blocks(support, rows), betas.tolist(), 10)).values()]
    return np.array([np.round(path.rows * path.accuracy(alphas)) for path in paths])


@pytest.mark.parametrize("shots", [4, 16])
def test_search_is_the_authors(shots: int) -> None:
    views, labels = _support(shots)
    support = Support.check(views, labels, TEXT["tip"])
    head = TipAdapter().fit(views, labels, text=TEXT["tip"])
    rows = Rows(unit(DATA["val_features"]), DATA["val_labels"])
    expected = TIP[f"k{shots}_val_correct"]
    difference = np.abs(_grid_counts(head, support, rows, tuple(TIP["search_scale"])) - expected)
    assert difference.max() <= 1
    assert (difference > 0).sum() <= 4  # near-ties may flip with the processor's rounding
    alpha, beta = TIP[f"k{shots}_best"][:2]
    best = TipAdapter(alpha=alpha, beta=beta).fit(views, labels, text=TEXT["tip"])
    np.testing.assert_allclose(
        best.decision_function(DATA["test_features"]), TIP[f"k{shots}_logits_best"], atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("neighbours", [None, 3])
@pytest.mark.parametrize("with_text", [True, False])
def test_support_search_equals_refitting_without_the_fold(with_text: bool, neighbours: int | None) -> None:
    views, labels = _support(4)
    text = TEXT["tip"] if with_text else None
    support = Support.check(views, labels, text)
    head = TipAdapter(alpha=2.0, beta=3.0, neighbours=neighbours).fit(views, labels, text=text)
    betas, alphas = search_grid()
    correct = 0
    for shot in range(4):
        kept, out = np.flatnonzero(np.arange(40) % 4 != shot), np.flatnonzero(np.arange(40) % 4 == shot)
        refitted = TipAdapter(alpha=alphas[7], beta=betas[90], neighbours=neighbours)
        refitted.fit(views[kept], labels[kept], text=text)
        correct += int((refitted.predict(views[out].mean(1)) == labels[out]).sum())
    assert _grid_counts(head, support, None, SEARCH_SCALE)[90, 7] == correct


@pytest.mark.parametrize(("shots", "held_out"), [(2, True), (4, True), (4, False), (16, True), (16, False)])
def test_the_choice_is_never_below_the_published_grid(shots: int, held_out: bool) -> None:
    """By brute force over all 4,000 cells; and the saved choice says what refitting with it gives."""
    views, labels = _support(16)
    kept = np.arange(160) % 16 < shots
    views, labels = views[kept], labels[kept]
    rows = (DATA["val_features"], DATA["val_labels"]) if held_out else None
    chosen = TipAdapter().tuned(views, labels, text=TEXT["tip"], held_out=rows)
    choice = chosen.alpha_choice_
    splits = [(np.arange(len(labels)), *rows)] if rows else []
    for shot in range(0 if rows else shots):
        out = np.arange(len(labels)) % shots == shot
        splits.append((np.flatnonzero(~out), views[out].mean(1), labels[out]))
    betas, alphas = search_grid()
    counts, at_choice = np.zeros((len(betas), len(alphas))), 0
    for some, X, y in splits:
        for i, beta in enumerate(betas):
            head = TipAdapter(beta=beta).fit(views[some], labels[some], text=TEXT["tip"])
            base, delta = head.parts(X)
            counts[i] += [((base + np.float32(alpha) * delta).argmax(1) == y).sum() for alpha in alphas]
        at_choice += (clone(chosen).fit(views[some], labels[some], text=TEXT["tip"]).predict(X) == y).sum()
    assert at_choice >= counts.max()
    assert choice.rows == sum(len(y) for *_, y in splits)
    assert at_choice == round(choice.accuracy * choice.rows)
    assert choice.chosen_on == ("held-out" if held_out else "support")
    assert choice.lo <= chosen.alpha == choice.alpha <= choice.hi


@pytest.mark.parametrize("twins", [1, 2])
def test_of_two_shots_settings_are_left_only_for_three_rows_more(twins: int) -> None:
    """Both images of a class look like the next class's text, and alike: each is known by the other alone."""
    text = np.eye(4, 8, dtype=np.float32)
    wrong = np.zeros((2 * twins, 8), np.float32)
    for pair in range(twins):
        wrong[2 * pair : 2 * pair + 2, (pair + 1) % 4] = 1.0
        wrong[2 * pair : 2 * pair + 2, 4 + pair] = 0.5
    right = np.repeat(text[twins:], 2, axis=0) + np.float32(0.01)
    X, y = np.concatenate([wrong, right]), np.repeat(np.arange(4), 2)
    chosen = TipAdapter(alpha=0.0, beta=5.5).tuned(X, y, text=text)
    if twins == 1:
        assert (chosen.alpha, chosen.beta) == (0.0, 5.5)
        assert "get 2 more of 8 rows right, and of so few shots fewer than 3 say nothing" in chosen.selection_note_
        assert not hasattr(chosen, "alpha_choice_")
    else:
        assert chosen.alpha > 0
        assert chosen.alpha_choice_.accuracy == 1.0


def test_a_search_in_blocks_and_refined_is_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    views, labels = _support(16)
    every = TipAdapter().tuned(views, labels, text=TEXT["tip"])
    monkeypatch.setattr(key_cache, "BLOCK", 160 * 7)
    blocks = TipAdapter().tuned(views, labels, text=TEXT["tip"])
    assert blocks.get_params() == {**every.get_params(), "alpha": pytest.approx(every.alpha, rel=1e-3 if GPU else 1e-6)}
    monkeypatch.setattr(alpha_choice, "AFFINITIES", 0)
    few = TipAdapter().tuned(views, labels, text=TEXT["tip"])
    assert few.alpha_choice_.accuracy == every.alpha_choice_.accuracy


def test_the_only_row_of_a_class_is_not_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    views, labels = _support(4)
    kept = (labels >= 5) | (np.arange(40) % 4 == 0)  # one row each of the first five classes
    monkeypatch.setattr(key_cache, "BLOCK", 25)  # a query at a time
    chosen = TipAdapter().tuned(views[kept], labels[kept], text=TEXT["tip"])
    assert chosen.alpha_choice_.rows == 20


def test_class_means_of_other_folds_stand_in_for_text() -> None:
    rows = np.eye(4, dtype=np.float32)
    support = Support.check(rows, [0, 0, 1, 1], None)
    logits = held_out_logits(support, np.array([0, 1, 0, 1]), 1.0)
    assert np.abs(logits).max() == 0  # a row is not in any mean that it is compared with


def test_search_improves_on_the_defaults() -> None:
    views, labels = _support(16)
    test = DATA["test_features"], DATA["test_labels"]
    fixed = TipAdapter().fit(views, labels, text=TEXT["tip"]).score(*test)
    for rows in ((DATA["val_features"], DATA["val_labels"]), None):
        chosen = TipAdapter().tuned(views, labels, text=TEXT["tip"], held_out=rows)
        assert chosen.fit(views, labels, text=TEXT["tip"]).score(*test) > fixed


def test_a_support_row_has_affinity_one_with_itself() -> None:
    rows = np.eye(3)
    base, delta = TipAdapter(beta=2.0).fit(rows, [0, 1, 2], text=rows).parts(rows)
    np.testing.assert_allclose(delta, np.where(np.eye(3), 1, np.exp(-2)), atol=1e-6)
    np.testing.assert_allclose(base, 100 * np.eye(3))


def test_beta_zero_and_infinite_rank_as_zero_shot() -> None:
    views, labels = _support(4)
    zero_shot = ZeroShot().fit(views, labels, text=TEXT["tip"]).predict(DATA["test_features"])
    for beta in (0.0, 1e6):
        head = TipAdapter(beta=beta).fit(views, labels, text=TEXT["tip"])
        np.testing.assert_array_equal(head.predict(DATA["test_features"]), zero_shot)


@pytest.mark.parametrize("wrong", [{"alpha": -1.0}, {"beta": -1.0}, {"neighbours": -1}])
def test_parameters_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        TipAdapter(**wrong).fit(np.eye(4), [0, 1, 2, 3])
