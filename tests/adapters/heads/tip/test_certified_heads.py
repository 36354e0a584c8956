"""Tip-Adapter with few neighbours: the full cache's predictions with a flat index, approximations with others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import adapters
from adapters import TipAdapter, TipAdapterF
from adapters.arrays import unit
from adapters.errors import AdapterError
from tests.rounding import assert_same

RNG = np.random.default_rng(0)
MEANS = 2 + RNG.standard_normal((4, 24))
LABELS, TEST_LABELS = np.arange(1200) % 4, np.arange(300) % 4
X, TEST = (MEANS[labels] + 1.5 * RNG.standard_normal((len(labels), 24)) for labels in (LABELS, TEST_LABELS))
TEXT = MEANS + 0.5 * RNG.standard_normal(MEANS.shape)
SETTINGS = {"alpha": 0.05, "beta": 5.5, "logit_scale": 10.0}


@pytest.mark.parametrize("head_class", [TipAdapter, TipAdapterF])
@pytest.mark.parametrize("neighbours", [0, 20])
def test_predictions_are_those_of_all_keys(head_class: type[TipAdapter], neighbours: int) -> None:
    full = head_class(**SETTINGS).fit(X, LABELS, text=TEXT)
    head = head_class(**SETTINGS, neighbours=neighbours).fit(X, LABELS, text=TEXT)
    np.testing.assert_array_equal(head.predict(TEST), full.predict(TEST))
    found = head.certified(TEST)
    assert 0.3 < found.certified.mean() < 1
    assert found.by_neighbours.any() == (neighbours > 0)
    assert_same(head.decision_function(TEST), found.logits)
    difference = np.abs(found.logits - full.decision_function(TEST)).max(1)
    assert difference[~found.certified].max() < 1e-4
    assert 1e-4 < difference[found.certified].max() < 0.5  # logits of certified rows are estimates, of a range of 10
    for mine, theirs in zip(head.parts(TEST), full.parts(TEST), strict=True):
        assert_same(mine, theirs)


def test_selection_sees_what_predictions_are_made_of() -> None:
    full = TipAdapter(logit_scale=10.0).tuned(X, LABELS, text=TEXT)
    few = TipAdapter(logit_scale=10.0, neighbours=5).tuned(X, LABELS, text=TEXT)
    assert (few.alpha, few.beta, few.neighbours) == (pytest.approx(full.alpha, rel=1e-5), full.beta, 5)
    approximate = TipAdapter(logit_scale=10.0, neighbours=5, index="hnsw").tuned(X, LABELS, text=TEXT)
    assert (approximate.alpha, approximate.beta) != (full.alpha, full.beta)


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_approximate_indexes_certify_nothing(index: str, tmp_path: Path) -> None:
    head = TipAdapter(**SETTINGS, neighbours=20, index=index).fit(X, LABELS, text=TEXT)
    with pytest.raises(AdapterError, match=f"index='{index}'; expected flat"):
        head.certified(TEST)
    assert "nothing is certified" in head.prediction_note(TEST)
    exact = TipAdapter(**SETTINGS).fit(X, LABELS, text=TEXT)
    found = head.cache_.votes(unit(TEST), head.beta, 20)
    np.testing.assert_allclose(head.parts(TEST)[1], found, rtol=1e-5)
    assert (found < exact.parts(TEST)[1]).all()  # the votes of 20 keys, not an estimate of all
    assert (head.predict(TEST) == exact.predict(TEST)).mean() > 0.6
    loaded = adapters.load(head.save(tmp_path / "run"))
    assert loaded.cache_.kind == index
    np.testing.assert_array_equal(loaded.decision_function(TEST), head.decision_function(TEST))


def test_the_note_counts_what_was_certified() -> None:
    assert TipAdapter(**SETTINGS).fit(X, LABELS, text=TEXT).prediction_note(TEST) == ""
    head = TipAdapter(**SETTINGS, neighbours=20).fit(X, LABELS, text=TEXT)
    found, note = head.certified(TEST), head.prediction_note(TEST)
    assert f"{found.by_moments.mean():.1%} certified by class sums" in note
    assert f"{found.by_neighbours.mean():.1%} by neighbours" in note
    assert f"{1 - found.certified.mean():.1%} computed over all keys" in note


def test_certificates_need_neighbours() -> None:
    with pytest.raises(AdapterError, match="neighbours=None; expected 0 or more"):
        TipAdapter().fit(X, LABELS, text=TEXT).certified(TEST)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"neighbours": -1}, "neighbours=-1; expected 0 or more"),
        ({"index": "lsh"}, "index='lsh'; expected flat, ivf or hnsw"),
        ({"index": "ivf"}, "neighbours=None; expected 1 or more with index='ivf'"),
        ({"index": "hnsw", "neighbours": 0}, "neighbours=0; expected 1 or more with index='hnsw'"),
    ],
)
def test_settings_that_do_not_fit_together_are_named(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        TipAdapter(**wrong).fit(X, LABELS, text=TEXT)
