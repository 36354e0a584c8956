"""Class-incremental heads: the contract of `partial_fit`, retention, and RAPF against the authors' code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.heads.incremental.cil_attention import CilAttention
from adapters.heads.incremental.cil_linear import CilLinear, retained
from adapters.heads.incremental.gaussians import Gaussians
from adapters.heads.incremental.head import IncrementalHead, step_rates
from adapters.heads.incremental.rapf import Rapf, fused
from adapters.heads.zero_shot import ZeroShot
from adapters.methods import load
from tests.adapters.untrained import untrained
from tests.golden_files import golden

DATA, SUPPORT, TEXT, RAPF = golden("data", "support", "text_weights", "rapf")
TIP, TEST, TEST_LABELS = TEXT["tip"], DATA["test_features"], DATA["test_labels"]
VIEWS, LABELS = SUPPORT["views"].transpose(1, 0, 2), SUPPORT["labels"]
TASKS = (range(0, 4), range(4, 7), range(7, 10))

HEADS: dict[str, Callable[..., IncrementalHead]] = {"linear": CilLinear, "attention": CilAttention, "rapf": Rapf}
every_head = pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)


def _task(classes: range) -> tuple[np.ndarray, np.ndarray]:
    rows = np.isin(LABELS, classes)
    return VIEWS[rows], LABELS[rows]


def _learn(head: IncrementalHead, tasks: tuple[range, ...] = TASKS) -> IncrementalHead:
    for classes in tasks:
        head.partial_fit(*_task(classes), text=TIP[: classes.stop])
    return head


@every_head
def test_tasks_one_after_the_other(make: Callable[..., IncrementalHead]) -> None:
    head = make()
    for number, classes in enumerate(TASKS):
        assert head.partial_fit(*_task(classes), text=TIP[: classes.stop]) is head
        assert head.classes_.tolist() == list(range(classes.stop))
        assert head.decision_function(TEST).shape == (400, classes.stop)
        assert head.tasks_ == number + 1
    seen = head.decision_function(TEST)
    head.fit(*_task(TASKS[0]), text=TIP[:4])
    assert head.tasks_ == 1
    assert head.decision_function(TEST).shape == (400, 4)
    np.testing.assert_array_equal(_learn(head, TASKS[1:]).decision_function(TEST), seen)


@every_head
def test_fit_is_one_task(make: Callable[..., IncrementalHead]) -> None:
    fitted, partial = make().fit(VIEWS, LABELS, text=TIP), make().partial_fit(VIEWS, LABELS, text=TIP)
    np.testing.assert_array_equal(fitted.decision_function(TEST), partial.decision_function(TEST))
    assert fitted.score(TEST, TEST_LABELS) > 0.68  # zero-shot is at 0.6
    assert fitted.parameters_ == (3 if make is CilAttention else 1) * 64**2


@every_head
def test_untrained_it_is_zero_shot(make: Callable[..., IncrementalHead], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IncrementalHead, "_check_parameters", lambda self: None)
    head = _learn(make(epochs=0))
    expected = ZeroShot().fit(VIEWS, LABELS, text=TIP).decision_function(TEST)
    np.testing.assert_allclose(head.decision_function(TEST), expected, atol=1e-3)


@every_head
def test_text_must_go_on_where_it_was(make: Callable[..., IncrementalHead]) -> None:
    head = make(epochs=1).partial_fit(*_task(TASKS[0]), text=TIP[:4])
    views, labels = _task(TASKS[1])
    for text in (TIP[4:7], TIP[:3], TIP[::-1]):
        with pytest.raises(AdapterError, match="does not begin with the text"):
            head.partial_fit(views[:1], labels[:1] * 0, text=text)
    with pytest.raises(AdapterError, match="text=None"):
        head.partial_fit(views, labels, text=None)


@every_head
def test_saved_between_tasks(make: Callable[..., IncrementalHead], tmp_path: Path) -> None:
    head = _learn(make(), TASKS[:2])
    head.save(tmp_path)
    loaded = load(tmp_path)
    assert isinstance(loaded, IncrementalHead)
    for other in (head, loaded):
        _learn(other, TASKS[2:])
    np.testing.assert_array_equal(loaded.decision_function(TEST), head.decision_function(TEST))


@every_head
def test_order_of_classes_and_scale_change_nothing(make: Callable[..., IncrementalHead]) -> None:
    order = np.random.default_rng(0).permutation(10)
    plain = make(epochs=5).fit(VIEWS, LABELS, text=TIP).decision_function(TEST)
    other = make(epochs=5).fit(10 * VIEWS, np.argsort(order)[LABELS], text=TIP[order])
    np.testing.assert_allclose(other.decision_function(10 * TEST), plain[:, order], atol=2e-3)


@every_head
def test_seeds_matter_and_global_random_state_does_not(make: Callable[..., IncrementalHead]) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, same, other = (_learn(make(seed=seed, epochs=3)).decision_function(TEST) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-4
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])


@every_head
def test_other_classes_and_tuning(make: Callable[..., IncrementalHead]) -> None:
    head = make(epochs=3, lr=0.5)
    chosen = head.tuned(VIEWS[::4], LABELS[::4], text=TIP, held_out=(DATA["val_features"], DATA["val_labels"]))
    assert chosen.lr in (1e-4, 1e-3, 1e-2)
    fitted = chosen.fit(*_task(TASKS[0]), text=TIP[:4])
    logits = fitted.for_classes(TIP).decision_function(TEST)
    np.testing.assert_allclose(logits[:, :4], fitted.decision_function(TEST), atol=1e-4)


def test_rates_fall_at_the_released_epochs() -> None:
    rates = step_rates(1e-3, 15, 2)
    assert len(rates) == 30
    np.testing.assert_allclose(rates[::2], [1e-3] * 4 + [1e-4] * 6 + [1e-5] * 5)


def test_retention() -> None:
    old, new = torch.tensor([[0.0, 1.0], [2.0, 3.0]]), torch.tensor([[4.0, 1.0], [1.0, 1.0]])
    torch.testing.assert_close(retained(old, new, "none", 0.5), new)
    torch.testing.assert_close(retained(old, new, "hard", 0.5), torch.tensor([[4.0, 1.0], [2.0, 1.0]]))
    torch.testing.assert_close(retained(old, new, "hard", 0.0), old)
    torch.testing.assert_close(retained(old, new, "hard", 1.0), new)
    torch.testing.assert_close(retained(old, new, "soft", 0.5), torch.tensor([[4.0, 1.0], [1.75, 2.0]]))
    torch.testing.assert_close(retained(old, old, "soft", 0.5), old)


def test_a_task_may_change_only_its_share_of_the_weights() -> None:
    head = CilLinear(keep=0.1).fit(*_task(TASKS[0]), text=TIP[:4])
    before = head.weights_["weight"]
    head.partial_fit(*_task(TASKS[1]), text=TIP[:7])
    assert (head.weights_["weight"] != before).mean() <= 0.1001


def test_fusion_is_the_authors() -> None:
    old, new = torch.from_numpy(RAPF["w_old"]), torch.from_numpy(RAPF["w_new"])
    for bias, expected in zip(RAPF["bias"], RAPF["w_fused"], strict=True):
        np.testing.assert_allclose(fused(old, new, float(bias)), expected, atol=5e-6)
    torch.testing.assert_close(fused(old, new, 1.0), new, atol=1e-5, rtol=0)


def test_logits_of_the_fused_weight_are_the_references() -> None:
    head = untrained(Rapf(), VIEWS, LABELS, text=TIP)
    head.weights_ = {"weight": RAPF["w_fused"][0]}
    np.testing.assert_allclose(head.decision_function(TEST), RAPF["logits"], atol=1e-3, rtol=0)


@pytest.mark.parametrize(("shrink", "name"), [(False, "stat_cov0"), (True, "stat_cov0_shrunk")])
def test_statistics_are_the_authors_and_draws_have_them(shrink: bool, name: str) -> None:
    rows, labels = SUPPORT["views"][:4].transpose(1, 0, 2).reshape(-1, 64), np.repeat(LABELS, 4)
    gaussians = Gaussians.none(64).updated(rows, labels, 10, ridge=1e-4, shrink=shrink)
    np.testing.assert_allclose(gaussians.mean, RAPF["stat_mean"], atol=1e-5)
    across, along = gaussians.spread[0] ** 2
    even = np.full((64, 64), 1 / 64)
    covariance = gaussians.factor[0].T @ gaussians.factor[0] + across * (np.eye(64) - even) + along * even
    np.testing.assert_allclose(covariance, RAPF[name], atol=1e-5)
    drawn = gaussians.draw(torch.tensor([3, 0]), 50_000, torch.Generator().manual_seed(0)).numpy()
    np.testing.assert_allclose(drawn[:50_000].mean(0), RAPF["stat_mean"][3], atol=0.05)
    np.testing.assert_allclose(drawn[50_000:].mean(0), RAPF["stat_mean"][0], atol=0.05)
    np.testing.assert_allclose(np.cov(drawn[50_000:].T), RAPF[name], atol=0.05)


def test_gaussians_grow_with_the_classes() -> None:
    rng = np.random.default_rng(0)
    first = Gaussians.none(6).updated(rng.normal(size=(3, 6)), np.array([0, 0, 0]), 1, ridge=0.1, shrink=False)
    both = first.updated(rng.normal(size=(9, 6)), np.array([2] * 8 + [3]), 4, ridge=0.1, shrink=False)
    assert both.known.tolist() == [0, 2, 3]  # class 1 never had rows
    np.testing.assert_array_equal(both.mean[0], first.mean[0])
    np.testing.assert_allclose(both.factor[0].T @ both.factor[0], first.factor[0].T @ first.factor[0])
    assert both.factor.shape == (4, 6, 6)
    assert not both.factor[3].any()  # one row: the ridge alone


def test_replay_remembers_the_first_task() -> None:
    def old_right(head: IncrementalHead) -> float:
        tested = TEST_LABELS < 4
        return float((_learn(head).predict(TEST[tested]) == TEST_LABELS[tested]).mean())

    assert old_right(Rapf()) > old_right(Rapf(replay=False)) + 0.05


def test_near_classes_are_pushed_apart() -> None:
    """One pair below the threshold adds the hinge of its draws to the loss."""
    text = TIP[:2].copy()
    head = Rapf(epochs=1, threshold=3.0).partial_fit(VIEWS[:8], LABELS[:8], text=text[:1])
    rows, labels = VIEWS[16:24], LABELS[16:24]
    near = head.partial_fit(rows, labels, text=text).losses_[0]
    far = Rapf(epochs=1, threshold=0.0).partial_fit(VIEWS[:8], LABELS[:8], text=text[:1])
    assert near > far.partial_fit(rows, labels, text=text).losses_[0]
    assert head._near.tolist() == [[0, 1]]
    assert not len(far._near)
    apart = unit(VIEWS[:8].mean(1)) @ (text[1] - text[0])
    assert np.maximum(0, apart + 0.1).mean() > 0


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (CilLinear, {"retention": "all"}),
        (CilLinear, {"keep": 1.5}),
        (CilAttention, {"tokens": 7}),
        (Rapf, {"bias": -1.0}),
        (Rapf, {"init": "zero"}),
        (Rapf, {"batch_size": 0}),
    ],
)
def test_parameters_out_of_range_are_named(make: Callable[..., IncrementalHead], wrong: dict[str, Any]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        make(**wrong).fit(VIEWS, LABELS, text=TIP)
