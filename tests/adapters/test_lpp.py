"""LP++ against the authors' code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.lpp import BlendedProbe, LinearProbePlusPlus
from adapters.training import threads_for

GOLDEN = Path(__file__).parents[1] / "golden"
DATA, SUPPORT, WEIGHTS, LPP = (np.load(GOLDEN / f"{name}.npz") for name in ("data", "support", "text_weights", "lpp"))
TEST, TEXT = DATA["test_features"], WEIGHTS["tip"]


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


def _authors_start(monkeypatch: pytest.MonkeyPatch, shots: int) -> None:
    """Give every probe the bias that the authors' run drew."""
    init = BlendedProbe.__init__

    def with_their_bias(self: BlendedProbe, *args: torch.Tensor) -> None:
        init(self, *args[:3], torch.from_numpy(LPP[f"k{shots}_b_init"]))

    monkeypatch.setattr(BlendedProbe, "__init__", with_their_bias)


@pytest.mark.parametrize("shots", [4, 16])
def test_start_and_step_sizes_are_the_authors(shots: int) -> None:
    views, labels = _support(shots)
    rows = torch.from_numpy(unit(views[:, 0].copy()))
    probe = BlendedProbe(rows, torch.from_numpy(labels), torch.from_numpy(TEXT), torch.zeros(10))
    np.testing.assert_allclose(
        [probe.lr, probe.lr_alpha, float(probe.alpha[3])], LPP[f"k{shots}_lrw_lra_alpha0"], rtol=2e-6
    )
    np.testing.assert_allclose(probe.layer[:, :-1], LPP[f"k{shots}_w_init"], atol=2e-6)


@pytest.mark.parametrize("shots", [4, 16])
def test_training_is_the_authors(shots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _authors_start(monkeypatch, shots)
    views, labels = _support(shots)
    head = LinearProbePlusPlus(epochs=30, device="cpu").fit(views, labels, text=TEXT)
    np.testing.assert_allclose(head.losses_, LPP[f"k{shots}_loss"], atol=5e-6)
    np.testing.assert_allclose(head.weight_, LPP[f"k{shots}_w_final"], atol=5e-5)
    np.testing.assert_allclose(head.bias_, LPP[f"k{shots}_b_final"], atol=5e-5)
    np.testing.assert_allclose(head.decision_function(TEST), LPP[f"k{shots}_logits_final"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("shots", [4, 16])
def test_text_weights_are_the_authors_after_every_epoch(shots: int) -> None:
    views, labels = _support(shots)
    arrays = unit(views[:, 0].copy()), labels, TEXT, LPP[f"k{shots}_b_init"]
    with threads_for(0):
        probe = BlendedProbe(*(torch.from_numpy(array) for array in arrays))
        seen = [probe.alpha.clone() for _ in probe.train(30)]
    np.testing.assert_allclose(torch.stack(seen), LPP[f"k{shots}_alpha_epochs"], atol=5e-5)


@pytest.mark.parametrize("shots", [4, 16])
def test_the_epoch_kept_is_the_authors(shots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _authors_start(monkeypatch, shots)
    views, labels = _support(shots)
    rows = LPP[f"k{shots}_val_rows"]
    held_out = DATA["val_features"][rows], DATA["val_labels"][rows]
    chosen = LinearProbePlusPlus(epochs=30, device="cpu").tuned(views, labels, text=TEXT, held_out=held_out)
    assert chosen.epochs == LPP[f"k{shots}_best_epoch"] + 1
    logits = chosen.fit(views, labels, text=TEXT).decision_function(TEST)
    np.testing.assert_allclose(logits, LPP[f"k{shots}_logits_best"], atol=1e-3, rtol=0)


def test_gradients_are_those_of_the_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    features, text = (torch.randn(n, 6, generator=generator, dtype=torch.float64) for n in (9, 4))
    labels = torch.arange(9) % 4
    probe = BlendedProbe(features, labels, text, torch.zeros(4, dtype=torch.float64))
    layer, alpha = probe.layer.clone().requires_grad_(), probe.alpha.clone().requires_grad_()
    rows = torch.cat([features, torch.ones(9, 1, dtype=torch.float64)], 1)
    torch.nn.functional.cross_entropy(rows @ layer.T + alpha * (features @ text.T), labels).backward()
    before = probe.layer.clone()
    next(probe.train(1))
    torch.testing.assert_close((before - probe.layer) / probe.lr, layer.grad)
    losses = list(BlendedProbe(features, labels, text, torch.zeros(4, dtype=torch.float64)).train(10))
    assert len(losses) == 10


def test_support_search_counts_on_shots_left_out() -> None:
    views, labels = _support(4)
    chosen = LinearProbePlusPlus(epochs=20).tuned(views, labels, text=TEXT)
    right = np.zeros(20, dtype=int)
    for shot in range(4):
        kept, out = np.flatnonzero(np.arange(40) % 4 != shot), np.flatnonzero(np.arange(40) % 4 == shot)
        for epoch in range(20):
            head = LinearProbePlusPlus(epochs=epoch + 1).fit(views[kept], labels[kept], text=TEXT)
            right[epoch] += int((head.predict(views[out].mean(1)) == labels[out]).sum())
    assert chosen.epochs == np.flatnonzero(right == right.max())[-1] + 1


def test_scale_and_order_of_rows_change_nothing() -> None:
    views, labels = _support(4)
    order = np.random.default_rng(0).permutation(len(labels))
    plain = LinearProbePlusPlus().fit(views, labels, text=TEXT).decision_function(TEST)
    other = LinearProbePlusPlus().fit(10 * views[order], labels[order], text=10 * TEXT).decision_function(10 * TEST)
    np.testing.assert_allclose(other, plain, atol=2e-3)


def test_only_the_first_view_is_used_and_missing_classes_are_allowed() -> None:
    views, labels = _support(4)
    one = LinearProbePlusPlus(epochs=20).fit(views[:, 0], labels, text=TEXT)
    all_views = LinearProbePlusPlus(epochs=20).fit(views, labels, text=TEXT)
    np.testing.assert_array_equal(all_views.weight_, one.weight_)
    kept = labels != 4
    head = LinearProbePlusPlus().fit(views[kept], labels[kept], text=TEXT)
    assert np.isfinite(head.decision_function(TEST)).all()


def test_order_of_the_classes_changes_nothing_but_order() -> None:
    views, labels = _support(4)
    order = np.random.default_rng(0).permutation(10)
    plain = LinearProbePlusPlus().fit(views, labels, text=TEXT).decision_function(TEST)
    other = LinearProbePlusPlus().fit(views, np.argsort(order)[labels], text=TEXT[order]).decision_function(TEST)
    np.testing.assert_allclose(other, plain[:, order], atol=2e-3)


def test_parameters() -> None:
    assert LinearProbePlusPlus(epochs=0).fit(*_support(4), text=TEXT).parameters_ == 10 * 66
    with pytest.raises(AdapterError, match="epochs"):
        LinearProbePlusPlus(epochs=-1).fit(np.eye(4), [0, 1, 2, 3])
