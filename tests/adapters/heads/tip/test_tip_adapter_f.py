"""Tip-Adapter-F against the authors' code: two trainings of the keys."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adapters import TipAdapter, TipAdapterF
from adapters.errors import AdapterError
from adapters.training.loop import cosine
from tests.adapters.untrained import untrained
from tests.golden_files import golden

DATA, SUPPORT, TEXT, TIP, TIP_F = golden("data", "support", "text_weights", "tip_adapter", "tip_adapter_f")


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


@pytest.mark.parametrize("run", ["full", "mb"])
@pytest.mark.parametrize("shots", [4, 16])
def test_training_is_the_authors(run: str, shots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    views, labels = _support(shots)
    alpha, beta = map(float, TIP_F["alpha_beta"])
    golden = {name: TIP_F[f"k{shots}_{run}_{name}"] for name in ("keys_final", "logits_final", "loss", "lr")}
    count = views.shape[1]
    if run == "full":
        batches = [count * torch.arange(len(labels))] * 20
    else:
        order = torch.from_numpy(TIP_F[f"k{shots}_mb_order"].astype(np.int64))
        batches = [count * rows + e % count for e, epoch in enumerate(order) for rows in epoch]
    rates = cosine(1e-3, len(batches))
    np.testing.assert_allclose(rates, golden["lr"], atol=1e-15)
    plan = TipAdapterF._plan
    monkeypatch.setattr(TipAdapterF, "_plan", lambda *own: plan(*own)._replace(batches=batches, rates=rates))
    head = TipAdapterF(alpha=alpha, beta=beta, device="cpu").fit(views, labels, text=TEXT["tip"])
    np.testing.assert_allclose(head.keys_, golden["keys_final"], atol=5e-6)
    np.testing.assert_allclose(head.losses_, golden["loss"], atol=1e-5)
    np.testing.assert_allclose(head.decision_function(DATA["test_features"]), golden["logits_final"], atol=1e-3, rtol=0)


def test_the_released_recipe_end_to_end() -> None:
    """One batch an epoch holds all rows, so the shuffle does not matter: the golden run on view 0 alone."""
    alpha, beta = map(float, TIP_F["alpha_beta"])
    views, labels = _support(4)
    head = TipAdapterF(alpha=alpha, beta=beta).fit(views[:, 0], labels, text=TEXT["tip"])
    start = TipAdapter().fit(views[:, 0], labels, text=TEXT["tip"]).keys_
    assert len(head.losses_) == 20
    assert 0 < np.abs(head.keys_ - start).max() < 0.02
    assert head.losses_[-1] < head.losses_[0]


def test_no_epochs_is_tip_adapter() -> None:
    views, labels = _support(4)
    trained = untrained(TipAdapterF(), views, labels, text=TEXT["tip"])
    free = TipAdapter().fit(views, labels, text=TEXT["tip"])
    np.testing.assert_array_equal(
        trained.decision_function(DATA["test_features"]), free.decision_function(DATA["test_features"])
    )
    assert free.parameters_ == 0
    assert trained.parameters_ == 40 * 64


def test_a_search_leaves_the_trained_keys_as_they_were() -> None:
    views, labels = _support(4)
    plain = TipAdapterF(seed=5).fit(views, labels, text=TEXT["tip"])
    test = DATA["test_features"], DATA["test_labels"]
    for rows in ((DATA["val_features"], DATA["val_labels"]), None):
        chosen = TipAdapterF(seed=5).tuned(views, labels, text=TEXT["tip"], held_out=rows)
        assert (chosen.train_alpha, chosen.train_beta) == (plain.alpha, plain.beta)
        assert (chosen.alpha, chosen.beta) != (plain.alpha, plain.beta)
        chosen.fit(views, labels, text=TEXT["tip"])
        np.testing.assert_array_equal(chosen.keys_, plain.keys_)
        assert chosen.score(*test) > plain.score(*test)


@pytest.mark.parametrize("lr", [1.0, 1e20])  # keys that are large numbers, and none
def test_a_search_after_a_training_that_diverged_names_the_learning_rate(lr: float) -> None:
    views, labels = _support(4)
    with pytest.raises(AdapterError, match=r"tip-f diverged at lr=.*; type a smaller --lr"):
        TipAdapterF(lr=lr, epochs=30, device="cpu").tuned(views, labels, text=TEXT["tip"])


@pytest.mark.parametrize(
    "wrong", [{"lr": -1.0}, {"weight_decay": -1.0}, {"train_alpha": -1.0}, {"train_beta": -1.0}, {"epochs": -1}]
)
def test_parameters_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        TipAdapterF(**wrong).fit(np.eye(4), [0, 1, 2, 3])
