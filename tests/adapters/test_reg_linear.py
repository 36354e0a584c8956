"""The regularised linear adapter against the authors' code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adapters.errors import AdapterError
from adapters.reg_linear import PENALTIES, RegularizedLinearAdapter, train_matrix
from adapters.training import AdamW, cosine, threads_for
from adapters.zero_shot import ZeroShot

GOLDEN = Path(__file__).parents[1] / "golden"
DATA, SUPPORT, WEIGHTS, GOLD = (
    np.load(GOLDEN / f"{name}.npz") for name in ("data", "support", "text_weights", "reg_linear")
)
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
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(6, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    views = [torch.randn(9, 6, generator=generator, dtype=torch.float64) for _ in range(2)]
    text = torch.nn.functional.normalize(torch.randn(4, 6, generator=generator, dtype=torch.float64), dim=1)
    labels = torch.arange(9) % 4
    logits = 7 * torch.nn.functional.normalize(views[1] @ matrix.T, dim=1) @ text.T
    away = (matrix - torch.eye(6, dtype=torch.float64)).square().sum()
    loss = torch.nn.functional.cross_entropy(logits, labels) + 0.3 * away
    loss.backward()
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(AdamW, "step", lambda _, gradient, lr: seen.append(gradient))
    losses = train_matrix(matrix.detach(), views, labels, text, rates=[0.1], penalty=0.3, logit_scale=7)
    assert float(losses[0]) == pytest.approx(float(loss.detach()))
    torch.testing.assert_close(seen[0], matrix.grad)


def test_untrained_it_is_zero_shot() -> None:
    head = RegularizedLinearAdapter(steps=0).fit(*_support(4), text=TEXT)
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
    raw = [torch.from_numpy(view.copy()) for view in views.transpose(1, 0, 2)]
    matrix = torch.eye(64)
    with threads_for(0):
        train_matrix(
            matrix, raw, torch.from_numpy(labels), torch.from_numpy(TEXT), rates=cosine(1e-3, 60), penalty=1 / 4
        )
    np.testing.assert_allclose(matrix, head.matrix_, atol=5e-6)


def test_other_classes_are_scored_from_their_text() -> None:
    head = RegularizedLinearAdapter(steps=20).fit(*_support(4), text=TEXT)
    other = head.for_classes(TEXT[[7, 2, 5]])
    np.testing.assert_allclose(other.decision_function(TEST), head.decision_function(TEST)[:, [7, 2, 5]], atol=1e-4)


def test_tuned_takes_the_penalty_that_is_best() -> None:
    views, labels = _support(4)
    rows = DATA["val_features"], DATA["val_labels"]
    make = RegularizedLinearAdapter
    right = {p: make(steps=60, penalty=p).fit(views, labels, text=TEXT).score(*rows) for p in PENALTIES}
    chosen = make(steps=60).tuned(views, labels, text=TEXT, held_out=rows)
    assert right[chosen.penalty] == max(right.values())
    assert make(steps=20).tuned(views, labels, text=TEXT).penalty in PENALTIES


@pytest.mark.parametrize("wrong", [{"penalty": -1.0}, {"steps": -1}])
def test_parameters_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        RegularizedLinearAdapter(**wrong).fit(np.eye(4), [0, 1, 2, 3])
