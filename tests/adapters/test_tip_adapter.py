"""Tip-Adapter against the authors' code: keys, logits and the whole search grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adapters import TipAdapter, ZeroShot
from adapters.arrays import Support, unit
from adapters.base import Rows
from adapters.errors import AdapterError
from adapters.tip_adapter import Block, held_out_logits, search, search_grid

GOLDEN = Path(__file__).parents[1] / "golden"
DATA, SUPPORT, TEXT, TIP = (
    np.load(GOLDEN / f"{name}.npz") for name in ("data", "support", "text_weights", "tip_adapter")
)


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


@pytest.mark.parametrize("shots", [4, 16])
def test_search_is_the_authors(shots: int) -> None:
    views, labels = _support(shots)
    support = Support.check(views, labels, TEXT["tip"])
    head = TipAdapter().fit(views, labels, text=TEXT["tip"])
    rows = Rows(unit(DATA["val_features"]), DATA["val_labels"])
    found = search(head._blocks(support, rows), 10, tuple(TIP["search_scale"]))
    difference = np.abs(found.correct - TIP[f"k{shots}_val_correct"])
    assert difference.max() <= 1
    assert (difference > 0).sum() <= 4  # near-ties may flip with the processor's rounding
    assert (found.alpha, found.beta) == pytest.approx(TIP[f"k{shots}_best"][:2])
    best = TipAdapter(alpha=found.alpha, beta=found.beta).fit(views, labels, text=TEXT["tip"])
    np.testing.assert_allclose(
        best.decision_function(DATA["test_features"]), TIP[f"k{shots}_logits_best"], atol=1e-3, rtol=0
    )


def test_the_first_of_equal_pairs_wins() -> None:
    block = Block(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0]]), torch.tensor([[0]]), torch.tensor([0]))
    betas, alphas = search_grid()
    found = search([block], 2)
    assert (found.beta, found.alpha) == (betas[0], alphas[0])


@pytest.mark.parametrize("with_text", [True, False])
def test_support_search_equals_refitting_without_the_fold(with_text: bool) -> None:
    views, labels = _support(4)
    text = TEXT["tip"] if with_text else None
    support = Support.check(views, labels, text)
    head = TipAdapter(alpha=2.0, beta=3.0).fit(views, labels, text=text)
    found = search(head._blocks(support, None), 10)
    betas, alphas = search_grid()
    correct = 0
    for shot in range(4):
        kept, out = np.flatnonzero(np.arange(40) % 4 != shot), np.flatnonzero(np.arange(40) % 4 == shot)
        refitted = TipAdapter(alpha=alphas[7], beta=betas[90]).fit(views[kept], labels[kept], text=text)
        correct += int((refitted.predict(views[out].mean(1)) == labels[out]).sum())
    assert found.correct[90, 7] == correct


def test_support_search_with_neighbours_equals_refitting_without_the_fold() -> None:
    views, labels = _support(4)
    support = Support.check(views, labels, TEXT["tip"])
    head = TipAdapter(neighbours=3).fit(views, labels, text=TEXT["tip"])
    found = search(head._blocks(support, None), 10)
    betas, alphas = search_grid()
    correct = 0
    for shot in range(4):
        kept, out = np.flatnonzero(np.arange(40) % 4 != shot), np.flatnonzero(np.arange(40) % 4 == shot)
        refitted = TipAdapter(alpha=alphas[7], beta=betas[90], neighbours=3)
        refitted.fit(views[kept], labels[kept], text=TEXT["tip"])
        correct += int((refitted.predict(views[out].mean(1)) == labels[out]).sum())
    assert found.correct[90, 7] == correct


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


@pytest.mark.parametrize("wrong", [{"alpha": -1.0}, {"beta": -1.0}, {"neighbours": 0}])
def test_parameters_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        TipAdapter(**wrong).fit(np.eye(4), [0, 1, 2, 3])
