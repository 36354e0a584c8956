"""Many trainings as one program give what one at a time gives."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from adapters import (
    CLAP,
    ClipAdapter,
    CrossModal,
    LinearProbePlusPlus,
    MetaAdapter,
    RegularizedLinearAdapter,
    TaskRes,
    TipAdapterF,
    ZeroShot,
    ZeroShotLinearProbe,
)
from adapters.arrays import Support
from adapters.base import Head
from adapters.errors import AdapterError
from adapters.stacked import Batches, StackedAdamW, StackedSGD
from adapters.stacking import TrainedHead, blocks_of, evenly, fit_many

RNG = np.random.default_rng(0)
CLASSES, DIM = 5, 16
TEXT = RNG.normal(size=(CLASSES, DIM)).astype(np.float32)


def support_set(shots: int, seed: int, views: int = 1) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    labels = np.arange(CLASSES).repeat(shots)
    noise = rng.normal(size=(len(labels), views, DIM))
    return (TEXT[labels][:, None] + 2 * noise).astype(np.float32), labels, TEXT


def grid(method: type[Head]) -> tuple[list[Head], list[tuple[Any, Any, Any]]]:
    """Heads that differ in everything a stack may hold, on support sets of two sizes and two draws."""
    heads, sets = [], []
    for shots, seed in ((1, 0), (4, 1), (4, 2)):
        drawn = support_set(shots, seed, views=2)
        for changes in (
            {},
            {"lr": 0.02},
            {"alpha": 0.9, "weight_decay": 0.1, "penalty": 0.5},
            {"logit_scale": 20.0, "seed": 3},
        ):
            known = method().get_params()
            settings = {
                name: value
                for name, value in {"epochs": 20, "iterations": 100, "steps": 20, "batch_size": 8, **changes}.items()
                if name in known
            }
            heads.append(method(**settings))
            sets.append(drawn)
    return heads, sets


STACKED = [
    TaskRes,
    ZeroShotLinearProbe,
    CLAP,
    TipAdapterF,
    ClipAdapter,
    LinearProbePlusPlus,
    CrossModal,
    MetaAdapter,
    RegularizedLinearAdapter,
]


@pytest.mark.parametrize("method", STACKED)
@pytest.mark.parametrize("threads", [1, 2])
def test_together_is_as_one_at_a_time(method: type[Head], threads: int) -> None:
    together, sets = grid(method)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        fit_many(together, sets)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    alone, _ = grid(method)
    for one, other, (X, y, text) in zip(together, alone, sets, strict=True):
        other.fit(X, y, text=text)
        for name, expected in other._arrays().items():
            np.testing.assert_allclose(one._arrays()[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(one.losses_, other.losses_, rtol=1e-5, atol=1e-6)
    learned = [head.losses_ for head in together]
    assert any(len(a) == len(b) > 0 and np.abs(a - b).max() > 1e-3 for a, b in pairwise(learned))


@pytest.mark.parametrize("method", STACKED)
def test_company_changes_nothing(method: type[Head]) -> None:
    heads, sets = grid(method)
    fit_many(heads, sets)
    some = [5, 11, 4]
    others, _ = grid(method)
    fit_many([others[i] for i in some], [sets[i] for i in some])
    for i in some:
        for name, expected in heads[i]._arrays().items():
            np.testing.assert_allclose(others[i]._arrays()[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("method", STACKED)
def test_some_may_be_kept_and_the_rest_dropped(method: type[Head]) -> None:
    heads, sets = grid(method)
    chosen = [head for head in heads[4:8] if isinstance(head, TrainedHead)]
    supports = [Support.check(*each) for each in sets[4:8]]
    for head, support in zip(chosen, supports, strict=True):
        head._prepare(support)
    stack = method._stack(chosen, supports)
    stack.advance(stack.steps // 2)
    stack.keep(torch.tensor([3, 1]))
    stack.advance()
    stack.finish()
    for place in (3, 1):
        expected, _ = grid(method)
        X, y, text = sets[4 + place]
        whole = expected[4 + place].fit(X, y, text=text)
        for name, array in whole._arrays().items():
            np.testing.assert_allclose(chosen[place]._arrays()[name], array, rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(chosen[place].losses_, whole.losses_, rtol=1e-5, atol=1e-6)


def test_heads_that_do_not_train_are_fitted_too() -> None:
    drawn = support_set(2, 0)
    heads: list[Head] = [ZeroShot(), TaskRes(epochs=3)]
    fit_many(heads, [drawn, drawn])
    assert all(head.score(drawn[0][:, 0], drawn[1]) > 0.2 for head in heads)


def test_a_stack_is_bounded_by_the_state_it_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    heads, sets = grid(TaskRes)
    supports = [Support.check(*each) for each in sets]
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    assert [len(block) for block in blocks_of(heads, supports)] == [4, 8]  # 1 shot has other shapes than 4
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    assert [len(block) for block in blocks_of(heads, supports)] == [2, 2, 4, 4]  # no worker is left without
    monkeypatch.setattr("adapters.stacking.CPU_BYTES", 3 * 12 * CLASSES * DIM)
    blocks = blocks_of(heads, supports)
    assert max(len(block) for block in blocks) <= 3
    assert sorted(i for block in blocks for i in block) == list(range(12))


@pytest.mark.parametrize(("count", "size", "workers"), [(105, 4, 2), (3, 8, 2), (1, 8, 2), (9, 4, 1), (16, 4, 4)])
def test_blocks_are_even(count: int, size: int, workers: int) -> None:
    blocks = evenly(list(range(count)), size, workers)
    assert [i for block in blocks for i in block] == list(range(count))
    sizes = [len(block) for block in blocks]
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    assert len(blocks) % workers == 0 or len(blocks) == count


def test_pools_are_held_once_and_kept_apart() -> None:
    first, second = (torch.randn(5, 3, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    codes = torch.arange(5)
    rows = [torch.tensor([[0, 1], [2, 3]]), torch.tensor([[4, 1], [0, 0]]), torch.tensor([[3, 2], [1, 4]])]
    pools = [first, second, first]
    batches = Batches(pools, [codes] * 3, rows, torch.device("cpu"))
    assert batches.pool.shape == (2, 5, 3)
    for kept in ([0, 1, 2], [2, 1]):
        if len(kept) < 3:
            batches.keep(torch.tensor(kept))
        for step in range(2):
            batches.load(step)
            for place, which in enumerate(kept):
                torch.testing.assert_close(batches.features[place], pools[which][rows[which][step]])
                torch.testing.assert_close(batches.labels[place], rows[which][step])


def test_an_error_in_one_stack_is_raised() -> None:
    heads, sets = grid(TaskRes)
    with pytest.raises(AdapterError, match="12 heads and 11 sets"):
        fit_many(heads, sets[1:])
    heads[5] = TaskRes(alpha=-1.0)
    with pytest.raises(AdapterError, match="alpha"):
        fit_many(heads, sets)


def test_updates_are_those_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, 6, generator=generator)
    rates = 0.1 * torch.rand(3, 12, generator=generator)
    decay = torch.tensor([0.0, 0.01, 0.5])
    left, right = torch.randn(12, 3, 4, 2, generator=generator), torch.randn(12, 3, 2, 6, generator=generator)
    sgd, adam = start.clone(), start.clone()
    with torch.inference_mode():
        ours = StackedSGD(sgd, rates, momentum=0.9, weight_decay=decay)
        others = StackedAdamW(adam, rates, weight_decay=decay, eps=1e-4)
        for step in range(12):
            ours.load(step)
            ours.step(left[step], right[step])
            others.load(step)
            others.step(left[step] @ right[step])
    for g in range(3):
        for found, kind, options in (
            (sgd[g], torch.optim.SGD, {"momentum": 0.9}),
            (adam[g], torch.optim.AdamW, {"eps": 1e-4}),
        ):
            weight = start[g].clone().requires_grad_()
            theirs = kind([weight], lr=1.0, weight_decay=float(decay[g]), **options)
            for step in range(12):
                theirs.param_groups[0]["lr"] = float(rates[g, step])
                weight.grad = left[step, g] @ right[step, g]
                theirs.step()
            torch.testing.assert_close(found, weight.detach(), rtol=1e-5, atol=1e-5)
