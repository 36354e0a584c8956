"""The regularised linear adapter against the authors' code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adapters.errors import AdapterError
from adapters.heads.prolip.reg_linear import MatrixStack, RegularizedLinearAdapter
from adapters.heads.zero_shot import ZeroShot
from adapters.parameters import parameters_of
from adapters.support import Support
from adapters.training.stack_parts import StackedAdamW
from adapters.training.trained_head import InTraining
from tests.adapters.untrained import untrained
from tests.golden_files import golden

DATA, SUPPORT, WEIGHTS, GOLD = golden("data", "support", "text_weights", "reg_linear")
TEST, TEXT = DATA["test_features"], WEIGHTS["tip"]


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


@pytest.mark.parametrize("shots", [4, 16])
@pytest.mark.parametrize(("run", "penalty"), [("l1", None), ("l001", 0.01)])
def test_training_is_the_authors(shots: int, run: str, penalty: float | None) -> None:
    head = RegularizedLinearAdapter(steps=60, penalty=penalty, device="cpu").fit(*_support(shots), text=TEXT)
    np.testing.assert_allclose(head.losses_, GOLD[f"k{shots}_{run}_loss"], atol=5e-6)
    if run == "l1":
        np.testing.assert_allclose(head.matrix_, GOLD[f"k{shots}_l1_A"], atol=5e-6)
    np.testing.assert_allclose(head.decision_function(TEST), GOLD[f"k{shots}_{run}_logits"], atol=1e-3, rtol=0)


def test_gradient_is_that_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    views, labels, text = rng.normal(size=(9, 2, 6)), np.arange(9) % 4, rng.normal(size=(4, 6))
    head = RegularizedLinearAdapter(steps=1, penalty=0.3, balance="none", logit_scale=7.0, device="cpu")
    stack = InTraining([head], [Support.check(views, labels, text)]).stack
    assert isinstance(stack, MatrixStack)
    stack.optimizer.weight.copy_(torch.from_numpy(rng.normal(size=(1, 6, 6))))
    matrix = stack.optimizer.weight[0].clone().requires_grad_()
    adapted = torch.nn.functional.normalize(torch.from_numpy(views[:, 1]).float() @ matrix.T, dim=1)
    away = (matrix - torch.eye(6)).square().sum()
    loss = torch.nn.functional.cross_entropy(7 * adapted @ stack.text[0].T, torch.from_numpy(labels)) + 0.3 * away
    loss.backward()
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(StackedAdamW, "step", lambda _, gradient: seen.append(gradient[0].clone()))
    stack.advance()
    assert float(stack.losses[0, 0]) == pytest.approx(float(loss.detach()), rel=1e-5)
    torch.testing.assert_close(seen[0], matrix.grad, rtol=1e-4, atol=1e-5)


def test_untrained_it_is_zero_shot() -> None:
    head = untrained(RegularizedLinearAdapter(), *_support(4), text=TEXT)
    expected = ZeroShot().fit(*_support(4), text=TEXT).decision_function(TEST)
    np.testing.assert_allclose(head.decision_function(TEST), expected, atol=1e-4)
    assert head.parameters_ == 64 * 64


def test_a_strong_penalty_holds_it_at_zero_shot() -> None:
    matrix = RegularizedLinearAdapter(penalty=1e6).fit(*_support(4), text=TEXT).matrix_
    assert np.abs(matrix - np.eye(64)).max() < 1e-3


def test_steps_start_with_the_second_view() -> None:
    views, labels = _support(4)
    first = RegularizedLinearAdapter(steps=1).fit(views[:, :2], labels, text=TEXT)
    second = RegularizedLinearAdapter(steps=1).fit(views[:, 1], labels, text=TEXT)
    np.testing.assert_allclose(first.matrix_, second.matrix_, atol=1e-6)


def test_scale_and_order_of_rows_change_nothing() -> None:
    views, labels = _support(4)
    order = np.random.default_rng(0).permutation(len(labels))
    plain = RegularizedLinearAdapter().fit(views, labels, text=TEXT).decision_function(TEST)
    other = RegularizedLinearAdapter().fit(10 * views[order], labels[order], text=TEXT).decision_function(10 * TEST)
    np.testing.assert_allclose(other, plain, atol=2e-3)


def test_order_of_the_classes_changes_nothing_but_order() -> None:
    views, labels = _support(4)
    order = np.random.default_rng(0).permutation(10)
    plain = RegularizedLinearAdapter().fit(views, labels, text=TEXT).decision_function(TEST)
    other = RegularizedLinearAdapter().fit(views, np.argsort(order)[labels], text=TEXT[order]).decision_function(TEST)
    np.testing.assert_allclose(other, plain[:, order], atol=2e-3)


def test_raw_features_train_the_same_matrix() -> None:
    views, labels = _support(4)
    head = RegularizedLinearAdapter(steps=60, device="cpu").fit(views, labels, text=TEXT)
    support = Support.check(views, labels, TEXT)
    support.__dict__["unit_views"] = support.views  # as if nothing had been normalised
    raw = RegularizedLinearAdapter(steps=60, device="cpu")._fit_support(support)
    np.testing.assert_allclose(raw.matrix_, head.matrix_, atol=5e-6)


def test_other_classes_are_scored_from_their_text() -> None:
    head = RegularizedLinearAdapter(steps=20).fit(*_support(4), text=TEXT)
    other = head.for_classes(TEXT[[7, 2, 5]])
    np.testing.assert_allclose(other.decision_function(TEST), head.decision_function(TEST)[:, [7, 2, 5]], atol=1e-4)


def test_tuned_takes_the_penalty_that_is_best() -> None:
    views, labels = _support(4)
    rows = DATA["val_features"], DATA["val_labels"]
    make = RegularizedLinearAdapter
    tried = parameters_of(RegularizedLinearAdapter)["penalty"].tried
    right = {p: make(steps=60, penalty=p).fit(views, labels, text=TEXT).score(*rows) for p in tried}
    chosen = make(steps=60).tuned(views, labels, text=TEXT, held_out=rows)
    assert right[chosen.penalty] == max(right.values())
    assert make(steps=20).tuned(views, labels, text=TEXT).penalty in tried


@pytest.mark.parametrize("wrong", [{"penalty": -1.0}, {"steps": -1}, {"lr": -1.0}])
def test_parameters_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        RegularizedLinearAdapter(**wrong).fit(np.eye(4), [0, 1, 2, 3])
