"""The cross-modal linear probe against the authors' code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adapters.arrays import Support, unit
from adapters.base import cosine_logits
from adapters.cross_modal import CHECK_EVERY, LRS, CrossModal, Plan, draw_rows, train_layer, warmup_rates
from adapters.errors import AdapterError
from adapters.training import AdamW, threads_for
from adapters.zero_shot import ZeroShot

GOLDEN = Path(__file__).parents[1] / "golden"
DATA, SUPPORT, WEIGHTS, GOLD = (
    np.load(GOLDEN / f"{name}.npz") for name in ("data", "support", "text_weights", "cross_modal")
)
TEST = DATA["test_features"]


class Text:
    """Class text with its prompts, as a cache gives it."""

    features = DATA["text_raw"]

    def weights(self) -> np.ndarray:
        return WEIGHTS["tip"]


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


def _plan(shots: int) -> Plan:
    """The authors' pool and batches."""
    rows = SUPPORT[f"rows_k{shots}"]
    labels = SUPPORT["labels"][rows]
    pool = unit(np.concatenate([SUPPORT["center"][rows], SUPPORT["flip"][rows], DATA["text_raw"].reshape(70, 64)]))
    codes = np.concatenate([labels, labels, np.repeat(np.arange(10), 7)])
    batches = np.concatenate([GOLD[f"k{shots}_image_rows"], GOLD[f"k{shots}_text_rows"] + 2 * len(labels)], 1)
    return Plan(torch.from_numpy(pool), torch.from_numpy(codes), torch.from_numpy(batches).long())


@pytest.mark.parametrize("shots", [4, 16])
def test_training_is_the_authors(shots: int) -> None:
    rates = warmup_rates(1e-3, 40, warmup=10)
    np.testing.assert_allclose(rates, GOLD[f"k{shots}_lr"], rtol=1e-12)
    weight = torch.from_numpy(GOLD["zs_weight"].copy())
    optimizer, plan = AdamW(weight, weight_decay=0.01, eps=1e-8), _plan(shots)
    right, losses, kept = [], [], {}
    with threads_for(0):
        for begin, end in ((0, 1), (1, 11), (11, 21), (21, 31), (31, 40)):
            losses.append(train_layer(weight, optimizer, plan, rates, range(begin, end), 100.0))
            kept[end - 1] = weight.numpy().copy()
            right.append((unit(DATA["val_features"]) @ kept[end - 1].T).argmax(1) == DATA["val_labels"])
    np.testing.assert_allclose(torch.cat(losses), GOLD[f"k{shots}_loss"], atol=5e-6)
    np.testing.assert_allclose(weight, GOLD[f"k{shots}_weight_final"], atol=5e-6)
    logits = cosine_logits(unit(TEST), weight.numpy(), 100.0)
    np.testing.assert_allclose(logits, GOLD[f"k{shots}_logits_final"], atol=1e-3, rtol=0)
    best = int(np.argmax(np.mean(right[:4], 1)))
    assert best * 10 == GOLD[f"k{shots}_best_iter"]
    assert right[best].mean() == pytest.approx(GOLD[f"k{shots}_val_acc"])
    np.testing.assert_allclose(kept[best * 10], GOLD[f"k{shots}_weight_best"], atol=5e-6)


@pytest.mark.parametrize("shots", [4, 16])
def test_average_with_zero_shot_is_the_authors(shots: int) -> None:
    head = CrossModal(alpha=0.5, iterations=0).fit(*_support(shots), text=Text())
    np.testing.assert_allclose(head.weight_, GOLD["zs_weight"], atol=1e-6)
    np.testing.assert_allclose(head.decision_function(TEST), GOLD["logits_init"], atol=1e-3, rtol=0)
    head.weight_ = GOLD[f"k{shots}_weight_best"]
    np.testing.assert_allclose(head.decision_function(TEST), GOLD[f"k{shots}_logits_best_wiseft"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("text", [Text(), WEIGHTS["tip"]], ids=["prompts", "class rows"])
def test_ratio_zero_is_zero_shot_exactly(text: object) -> None:
    head = CrossModal(alpha=0.0, iterations=20).fit(*_support(4), text=text)
    zero_shot = ZeroShot().fit(*_support(4), text=text)
    np.testing.assert_array_equal(head.decision_function(TEST), zero_shot.decision_function(TEST))


def test_training_is_what_autograd_and_torch_do() -> None:
    plan, rates = _plan(4), warmup_rates(1e-3, 40, warmup=10)
    start = torch.from_numpy(GOLD["zs_weight"])
    weight, other = start.clone(), start.clone().requires_grad_()
    reference = torch.optim.AdamW([other], weight_decay=0.01)
    with threads_for(0):
        losses = train_layer(weight, AdamW(weight, weight_decay=0.01, eps=1e-8), plan, rates, range(40), 100.0)
        for rows, rate, loss in zip(plan.rows, rates, losses, strict=True):
            expected = torch.nn.functional.cross_entropy(100 * plan.pool[rows] @ other.T, plan.labels[rows])
            torch.testing.assert_close(loss, expected.detach(), atol=5e-6, rtol=0)
            reference.zero_grad()
            expected.backward()
            reference.param_groups[0]["lr"] = rate
            reference.step()
    torch.testing.assert_close(weight, other.detach(), atol=5e-6, rtol=0)


def test_rows_are_drawn_without_repeats_within_a_pass() -> None:
    rows = draw_rows(10, 4, 5, torch.Generator().manual_seed(0))
    assert rows.shape == (5, 4)
    for one_pass in (rows[:2], rows[2:4]):
        assert len(one_pass.unique()) == 8
    assert draw_rows(3, 16, 2, torch.Generator().manual_seed(0)).shape == (2, 3)
    assert draw_rows(3, 2, 0, torch.Generator().manual_seed(0)).shape == (0, 2)


def test_pool_is_every_view_and_every_prompt() -> None:
    views, labels = _support(4)

    class Ragged(Text):
        features = DATA["text_raw"].copy()

    Ragged.features[3, 2:] = np.nan
    _, _, plan = CrossModal(iterations=200, device="cpu")._start(Support.check(views, labels, Ragged()))
    assert plan.pool.shape == (400 + 65, 64)
    assert torch.isfinite(plan.pool).all()
    np.testing.assert_array_equal(plan.labels[:400], np.repeat(labels, 10))
    np.testing.assert_array_equal(np.bincount(plan.labels[400:]), [7, 7, 7, 2, 7, 7, 7, 7, 7, 7])
    assert plan.rows.shape == (200, 32)
    assert int(plan.rows[:, :16].max()) < 400 <= int(plan.rows[:, 16:].min())


def test_stop_is_a_point_on_the_way() -> None:
    views, labels = _support(4)
    whole = CrossModal(iterations=60, stop=60).fit(views, labels, text=Text())
    stopped = CrossModal(iterations=60, stop=21).fit(views, labels, text=Text())
    np.testing.assert_array_equal(whole.losses_[:21], stopped.losses_)
    assert np.abs(whole.weight_ - stopped.weight_).max() > 1e-4
    assert whole.parameters_ == 640


@pytest.mark.parametrize("held_out", [True, False])
def test_tuned_takes_rate_and_iteration_that_are_best(held_out: bool) -> None:
    views, labels = _support(4)
    rows = (DATA["val_features"], DATA["val_labels"]) if held_out else None
    chosen = CrossModal(iterations=250).tuned(views, labels, text=Text(), held_out=rows)
    assert chosen.lr in LRS
    assert (chosen.stop - 1) % CHECK_EVERY == 0
    if rows is not None:
        right = {
            (lr, stop): CrossModal(iterations=250, lr=lr, stop=stop).fit(views, labels, text=Text()).score(*rows)
            for lr in LRS
            for stop in (1, 101, 201)
        }
        assert right[chosen.lr, chosen.stop] == max(right.values())


def test_scale_changes_nothing_and_the_seed_something() -> None:
    views, labels = _support(4)
    plain, scaled, other = (
        CrossModal(iterations=50, seed=seed).fit(scale * views, labels, text=Text()).decision_function(scale * TEST)
        for seed, scale in ((1, 1), (1, 10), (2, 1))
    )
    np.testing.assert_allclose(scaled, plain, atol=2e-3)
    assert np.abs(other - plain).max() > 1e-2


@pytest.mark.parametrize("wrong", [{"alpha": 1.5}, {"batch_size": 1}, {"iterations": -1}, {"stop": 12801}])
def test_parameters_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        CrossModal(**wrong).fit(np.eye(4), [0, 1, 2, 3])
