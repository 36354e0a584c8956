"""LP++ against the authors' code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.heads.lpp import BlendedStack, LinearProbePlusPlus
from adapters.selection.looks import right_along
from adapters.support import Rows, Support
from adapters.training.trained_head import InTraining
from tests.golden_files import golden

DATA, SUPPORT, WEIGHTS, LPP = golden("data", "support", "text_weights", "lpp")
TEST, TEXT = DATA["test_features"], WEIGHTS["tip"]


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


def _stack(views: np.ndarray, labels: np.ndarray, text: np.ndarray, epochs: int) -> BlendedStack:
    head = LinearProbePlusPlus(epochs=epochs, device="cpu")
    stack = InTraining([head], [Support.check(views, labels, text)]).stack
    assert isinstance(stack, BlendedStack)
    return stack


def _authors_start(monkeypatch: pytest.MonkeyPatch, shots: int) -> None:
    """Give every probe the bias that the authors' run drew."""
    bias = torch.from_numpy(LPP[f"k{shots}_b_init"])[None, :, None]
    monkeypatch.setattr(BlendedStack, "first_bias", lambda _, sums: bias.expand(len(sums), -1, 1))


@pytest.mark.parametrize("shots", [4, 16])
def test_start_and_step_sizes_are_the_authors(shots: int) -> None:
    stack = _stack(*_support(shots), TEXT, 1)
    np.testing.assert_allclose(
        [float(stack.optimizer.rate), float(stack.lr_alpha), float(stack.alpha[0, 0, 3])],
        LPP[f"k{shots}_lrw_lra_alpha0"],
        rtol=2e-6,
    )
    np.testing.assert_allclose(stack.optimizer.weight[0, :, :-1], LPP[f"k{shots}_w_init"], atol=2e-6)


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
def test_text_weights_are_the_authors_after_every_epoch(shots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _authors_start(monkeypatch, shots)
    stack = _stack(*_support(shots), TEXT, 30)
    seen = []
    for epoch in range(1, 31):
        stack.advance(epoch)
        seen.append(stack.alpha[0, 0].clone())
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
    rng = np.random.default_rng(0)
    views, labels, text = rng.normal(size=(8, 6)), np.arange(8) % 4, rng.normal(size=(4, 6))
    stack = _stack(views, labels, text, 10)
    rows, unit_text = torch.from_numpy(unit(views.astype(np.float32))), stack.text[0]
    layer, alpha = (each[0].clone().requires_grad_() for each in (stack.optimizer.weight, stack.alpha))
    logits = torch.cat([rows, torch.ones(8, 1)], 1) @ layer.T + alpha * (rows @ unit_text.T)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
    loss.backward()
    before = stack.optimizer.weight.clone()
    stack.advance(1)
    assert float(stack.losses[0, 0]) == pytest.approx(float(loss.detach()), rel=1e-5)
    torch.testing.assert_close(
        (before - stack.optimizer.weight)[0] / stack.optimizer.rate[0], layer.grad, rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(stack.gradients[0], alpha.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(stack.alpha[0], alpha.detach())  # takes its first step after the tenth epoch
    stack.advance(10)
    torch.testing.assert_close(stack.alpha, alpha.detach() - stack.lr_alpha * stack.gradients)


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
    assert LinearProbePlusPlus(epochs=1).fit(*_support(4), text=TEXT).parameters_ == 10 * 66
    with pytest.raises(AdapterError, match="epochs"):
        LinearProbePlusPlus(epochs=0).fit(np.eye(4), [0, 1, 2, 3])


def test_looks_take_threads_for_scoring_only_and_count_no_lost_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    views, labels = _support(4)
    head, support = LinearProbePlusPlus(epochs=3, device="cpu"), Support.check(views, labels, TEXT)
    trained: list[int] = []
    advance, logits = BlendedStack.advance, BlendedStack.logits

    def noted(stack: BlendedStack, until: int | None = None) -> None:
        trained.append(torch.get_num_threads())
        advance(stack, until)

    def spoilt(stack: BlendedStack, place: int, features: torch.Tensor) -> torch.Tensor:
        found = logits(stack, place, features)
        if stack.taken == 2:
            found[torch.arange(len(labels)), torch.from_numpy(labels)] = torch.nan  # what `argmax` takes
        return found

    monkeypatch.setattr(BlendedStack, "advance", noted)
    monkeypatch.setattr(BlendedStack, "logits", spoilt)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        right = right_along([head], [(support, Rows(support.means, support.labels))], [1, 2, 3])[0]
    finally:
        torch.set_num_threads(before)
    assert trained == [2, 2, 2]
    assert right[0] > 0
    assert right[1] == 0
    assert right[2] > 0
