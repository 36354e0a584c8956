"""The cross-modal linear probe against the authors' code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.head import cosine_logits
from adapters.heads.cross_modal import stack as layers
from adapters.heads.cross_modal.cross_modal import CHECK_EVERY, CrossModal
from adapters.heads.cross_modal.pool import batches_of, draw_rows, pool_of
from adapters.heads.cross_modal.stack import LayerStack, warmup_rates
from adapters.heads.zero_shot import ZeroShot
from adapters.parameters import parameters_of
from adapters.support import Support
from adapters.training.trained_head import InTraining
from tests.adapters.untrained import untrained
from tests.golden_files import golden

DATA, SUPPORT, WEIGHTS, GOLD = golden("data", "support", "text_weights", "cross_modal")
TEST = DATA["test_features"]


class Text:
    """Class text with its prompts, as a cache gives it."""

    features = DATA["text_raw"]

    def weights(self) -> np.ndarray:
        return WEIGHTS["tip"]


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


def _stack(shots: int, monkeypatch: pytest.MonkeyPatch) -> LayerStack:
    """The authors' pool, batches and start, in training."""
    rows = SUPPORT[f"rows_k{shots}"]
    labels = SUPPORT["labels"][rows]
    images, count = np.stack([SUPPORT["center"][rows], SUPPORT["flip"][rows]], 1), len(labels)
    theirs = GOLD[f"k{shots}_image_rows"].astype(np.int64)  # theirs count view by view, ours image by image
    ours = theirs % count * 2 + theirs // count
    batches = torch.from_numpy(np.concatenate([ours, GOLD[f"k{shots}_text_rows"].astype(np.int64) + 2 * count], 1))
    monkeypatch.setattr(layers, "batches_of", lambda *_: batches)
    monkeypatch.setattr(layers, "warmup_rates", lambda lr, steps: warmup_rates(lr, steps, warmup=10))
    head = CrossModal(iterations=40, device="cpu")
    stack = InTraining([head], [Support.check(images, labels, Text())]).stack
    assert isinstance(stack, LayerStack)
    return stack


@pytest.mark.parametrize("shots", [4, 16])
def test_training_is_the_authors(shots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_allclose(warmup_rates(1e-3, 40, warmup=10), GOLD[f"k{shots}_lr"], rtol=1e-12)
    stack = _stack(shots, monkeypatch)
    np.testing.assert_allclose(stack.start[0], GOLD["zs_weight"], atol=1e-6)
    right, kept = [], {}
    for end in (1, 11, 21, 31, 40):
        stack.advance(end)
        kept[end - 1] = stack.optimizer.weight[0].numpy().copy()
        logits = stack.logits(0, torch.from_numpy(unit(DATA["val_features"])))
        right.append(logits.argmax(1).numpy() == DATA["val_labels"])
    weight = kept[39]
    np.testing.assert_allclose(stack.losses[0], GOLD[f"k{shots}_loss"], atol=5e-6)
    np.testing.assert_allclose(weight, GOLD[f"k{shots}_weight_final"], atol=5e-6)
    logits = cosine_logits(unit(TEST), weight, 100.0)
    np.testing.assert_allclose(logits, GOLD[f"k{shots}_logits_final"], atol=1e-3, rtol=0)
    best = int(np.argmax(np.mean(right[:4], 1)))
    assert best * 10 == GOLD[f"k{shots}_best_iter"]
    assert right[best].mean() == pytest.approx(GOLD[f"k{shots}_val_acc"])
    np.testing.assert_allclose(kept[best * 10], GOLD[f"k{shots}_weight_best"], atol=5e-6)


@pytest.mark.parametrize("shots", [4, 16])
def test_average_with_zero_shot_is_the_authors(shots: int) -> None:
    head = untrained(CrossModal(alpha=0.5), *_support(shots), text=Text())
    np.testing.assert_allclose(head.weight_, GOLD["zs_weight"], atol=1e-6)
    np.testing.assert_allclose(head.decision_function(TEST), GOLD["logits_init"], atol=1e-3, rtol=0)
    head.weight_ = GOLD[f"k{shots}_weight_best"]
    np.testing.assert_allclose(head.decision_function(TEST), GOLD[f"k{shots}_logits_best_wiseft"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("text", [Text(), WEIGHTS["tip"]], ids=["prompts", "class rows"])
def test_ratio_zero_is_zero_shot_exactly(text: object) -> None:
    head = CrossModal(alpha=0.0, iterations=20).fit(*_support(4), text=text)
    zero_shot = ZeroShot().fit(*_support(4), text=text)
    np.testing.assert_array_equal(head.decision_function(TEST), zero_shot.decision_function(TEST))


@pytest.mark.parametrize("text", [Text(), WEIGHTS["tip"]], ids=["prompts", "class rows"])
def test_parts_give_the_logits_at_every_ratio(text: object) -> None:
    head = CrossModal(iterations=60).fit(*_support(4), text=text)
    base, delta = head.parts(10 * TEST)
    for alpha in (1e-3, 0.1, 0.5, 0.9, 1.0):
        expected = head.set_params(alpha=alpha).decision_function(TEST)
        np.testing.assert_allclose(base + np.float32(alpha) * delta, expected, atol=1e-3)
        assert (expected.argmax(1) != base.argmax(1)).any() or alpha < 0.1
    np.testing.assert_allclose(base, 100 * unit(TEST) @ head.base_.T, atol=1e-3)
    # Zero-shot's text averages the prompts otherwise, where there are several: rows near a tie may differ.
    zero_shot = head.set_params(alpha=0.0).predict(TEST)
    assert (base.argmax(1) == zero_shot).mean() >= (0.95 if isinstance(text, Text) else 1.0)


def test_training_is_what_autograd_and_torch_do(monkeypatch: pytest.MonkeyPatch) -> None:
    stack, rates = _stack(4, monkeypatch), warmup_rates(1e-3, 40, warmup=10)
    other = stack.start[0].clone().requires_grad_()
    reference = torch.optim.AdamW([other], weight_decay=0.01)
    pool, labels = stack.batches.pool[0], stack.batches.codes[0]
    stack.advance()
    for rows, rate, loss in zip(stack.batches.rows[0], rates, stack.losses[0], strict=True):
        expected = torch.nn.functional.cross_entropy(100 * pool[rows] @ other.T, labels[rows])
        torch.testing.assert_close(loss, expected.detach(), atol=5e-6, rtol=0)
        reference.zero_grad()
        expected.backward()
        reference.param_groups[0]["lr"] = rate
        reference.step()
    torch.testing.assert_close(stack.optimizer.weight[0], other.detach(), atol=5e-6, rtol=0)


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
    support = Support.check(views, labels, Ragged())
    pool, codes = pool_of(support)
    assert pool.shape == (400 + 65, 64)
    assert torch.isfinite(pool).all()
    np.testing.assert_array_equal(codes[:400], np.repeat(labels, 10))
    np.testing.assert_array_equal(np.bincount(codes[400:]), [7, 7, 7, 2, 7, 7, 7, 7, 7, 7])
    rows = batches_of(support, 32, 200, seed=0)
    assert rows.shape == (200, 32)
    assert int(rows[:, :16].max()) < 400 <= int(rows[:, 16:].min()) <= int(rows.max()) < 465


def test_trainings_of_one_seed_share_their_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def noted(support: Support, batch_size: int, steps: int, seed: int) -> torch.Tensor:
        drawn.append(seed)
        return batches_of(support, batch_size, steps, seed)

    monkeypatch.setattr(layers, "batches_of", noted)
    support = Support.check(*_support(4), Text())
    heads = [CrossModal(iterations=60, seed=seed, lr=lr) for seed in (0, 1) for lr in (1e-3, 1e-4, 1e-5)]
    stack = InTraining(heads, [support] * 6).stack
    assert isinstance(stack, LayerStack)
    assert sorted(drawn) == [0, 1]
    rows = stack.batches.rows.cpu()
    assert (rows[0] == rows[2]).all()
    assert (rows[3] == batches_of(support, 32, 60, seed=1)).all()


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
    assert chosen.lr in parameters_of(CrossModal)["lr"].tried
    assert (chosen.stop - 1) % CHECK_EVERY == 0
    if rows is not None:
        right = {
            (lr, stop): CrossModal(iterations=250, lr=lr, stop=stop).fit(views, labels, text=Text()).score(*rows)
            for lr in parameters_of(CrossModal)["lr"].tried
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


@pytest.mark.parametrize(
    "wrong",
    [{"alpha": 1.5}, {"batch_size": 1}, {"iterations": -1}, {"stop": 12801}, {"lr": -1.0}, {"weight_decay": -1.0}],
)
def test_parameters_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        CrossModal(**wrong).fit(np.eye(4), [0, 1, 2, 3])
