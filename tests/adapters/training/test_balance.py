"""Balancing the loss: against brute force, in all heads that take it, by themselves and stacked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from adapters.methods import METHODS
from adapters.support import Support
from adapters.training.balance import Balance, balance_of
from adapters.training.differentiated import mean_cross_entropy
from adapters.training.loop import cross_entropy
from adapters.training.stacking import blocks_of, fit_many

RNG = np.random.default_rng(2)
SOFT = {"logit_scale": 5.0, "epochs": 12}
BALANCED: dict[str, dict[str, Any]] = {
    "clip": SOFT,
    "tip-f": SOFT,
    "taskres": SOFT,
    "zs-lp": SOFT,
    "clap": SOFT,
    "lp++": {"epochs": 12},
    "reg-linear": {"logit_scale": 5.0, "steps": 12},
    "gated": {**SOFT, "lr": 0.01},
    "instruct": {**SOFT, "lr": 0.01, "heads": 2},
}


def drawn(counts: tuple[int, ...], dim: int = 8) -> tuple[Any, Any, Any]:
    text = (3 + 0.3 * RNG.normal(size=(len(counts), dim))).astype(np.float32)  # alike, so that no loss is 0
    y = np.repeat(np.arange(len(counts)), counts)
    return (text[y] + RNG.normal(size=(len(y), dim))).astype(np.float32), y, text


UNEVEN = drawn((8, 2, 4))


@pytest.mark.parametrize("how", ["loss", "logit"])
def test_losses_and_gradients_are_those_written_out(how: str) -> None:
    supports = [Support.check(*UNEVEN), Support.check(*drawn((1, 6, 7)))]
    balance = Balance.of(how, supports, torch.device("cpu"))
    logits = torch.randn(2, 14, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.stack([torch.from_numpy(each.labels) for each in supports])
    loss, gradient = balance.cross_entropy(logits, labels)
    variable = logits.clone().requires_grad_()
    expected = []
    for place, each in enumerate(supports):
        n = np.bincount(each.labels)
        shares = torch.from_numpy(n / n.sum()).float()
        own = variable[place] + (shares.log() if how == "logit" else 0)
        weight = 1 / (3 * shares) if how == "loss" else torch.ones(3)
        rows = torch.nn.functional.cross_entropy(own, labels[place], reduction="none")
        expected.append((rows * weight[labels[place]]).mean())
    torch.testing.assert_close(loss, torch.stack(expected).detach())
    (wanted,) = torch.autograd.grad(torch.stack(expected).sum(), variable)
    torch.testing.assert_close(gradient, wanted)
    torch.testing.assert_close(mean_cross_entropy(logits, labels, balance), loss)
    half = torch.full(labels.shape, 1 / 28)
    torch.testing.assert_close(balance.cross_entropy(logits, labels, half)[0], loss / 2)


def test_without_balance_it_is_the_loss_as_it_was() -> None:
    logits, labels = torch.randn(2, 5, 3), torch.tensor([[0, 1, 2, 0, 0]] * 2)
    for mine, plain in zip(Balance().cross_entropy(logits, labels), cross_entropy(logits, labels), strict=True):
        assert torch.equal(mine, plain)
    even = Support.check(*drawn((3, 3, 3)))
    assert [balance_of(how, even) for how in ("none", "loss", "logit")] == ["none"] * 3
    assert balance_of("loss", Support.check(*UNEVEN)) == "loss"
    shift = Balance.of("logit", [Support.check(*drawn((3, 2, 0)))], torch.device("cpu")).shift
    assert shift is not None
    assert torch.isfinite(shift).all()


@pytest.mark.parametrize("method", BALANCED)
def test_stacked_and_alone_are_one_and_rare_classes_gain(method: str) -> None:
    def heads() -> list[Any]:
        return [
            METHODS[method](balance=how, **BALANCED[method], device="cpu")
            for how in ("none", "loss", "logit", "none", "logit")
        ]

    other = drawn((5, 5, 4))
    sets = [UNEVEN, UNEVEN, UNEVEN, other, other]
    stacked, alone = heads(), heads()
    fit_many(stacked, sets)
    images = UNEVEN[0]
    for mine, own, each in zip(stacked, alone, sets, strict=True):
        own.fit(*each[:2], text=each[2])
        np.testing.assert_allclose(mine.decision_function(images), own.decision_function(images), rtol=1e-3, atol=1e-3)
    logits = [head.decision_function(images) for head in stacked[:3]]
    none, loss, logit = (float((each[:, 1] - each.mean(1)).mean()) for each in logits)  # of the rarest class
    assert logit > none
    assert loss != none
    supports = [Support.check(*each) for each in sets]
    assert len({tuple(block.numbers) for block in blocks_of(heads(), supports)}) >= 3


def test_where_classes_are_equal_every_way_gives_the_same_bits() -> None:
    X, y, text = drawn((3, 3, 3))
    found = [
        METHODS["taskres"](epochs=3, balance=how, device="cpu").fit(X, y, text=text).decision_function(X)  # type: ignore[call-arg]
        for how in ("none", "loss", "logit")
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
