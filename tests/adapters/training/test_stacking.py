"""Many trainings as one program give what one at a time gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from adapters import (
    CLAP,
    ClipAdapter,
    Consistency,
    CrossModal,
    Gated,
    Instruct,
    LinearProbePlusPlus,
    MetaAdapter,
    Mixture,
    ProLIP,
    RegularizedLinearAdapter,
    SeMoBridgeT,
    TaskRes,
    TipAdapterF,
    ZeroShot,
    ZeroShotLinearProbe,
)
from adapters.arrays import Block
from adapters.errors import AdapterError
from adapters.head import Head
from adapters.heads.clip_adapter.stack import AdapterStack
from adapters.support import Support
from adapters.training import stacking
from adapters.training.gathered_batches import GatheredBatches
from adapters.training.padded_batches import PaddedBatches
from adapters.training.side_by_side import side_by_side
from adapters.training.spanned import SpannedSGD
from adapters.training.stack_parts import Batches, Stacked, StackedAdamW, StackedSGD, bytes_of
from adapters.training.stacking import blocks_of, evenly, fit_many
from adapters.training.trained_head import InTraining, TrainedHead
from tests.adapters.blocked import BlockedText
from tests.rounding import assert_near

RNG = np.random.default_rng(0)
CLASSES, DIM = 5, 16
Trained = type[TrainedHead[Any]]
TEXT = RNG.normal(size=(CLASSES, DIM)).astype(np.float32)


def support_set(shots: int, seed: int, views: int = 1) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    labels = np.arange(CLASSES).repeat(shots)
    noise = rng.normal(size=(len(labels), views, DIM))
    return (TEXT[labels][:, None] + 2 * noise).astype(np.float32), labels, TEXT


def grid(method: type[Head], **fixed: Any) -> tuple[list[Head], list[tuple[Any, Any, Any]]]:
    """Heads that differ in everything a stack may hold, on support sets of two sizes and two draws."""
    heads, sets = [], []
    for shots, seed in ((1, 0), (4, 1), (4, 2)):
        drawn = support_set(shots, seed, views=2)
        if method is Mixture:
            drawn = (*drawn[:2], BlockedText(TEXT, (Block(10, 0.8), Block(6, 1.2))))
        for changes in (
            {},
            {"lr": 0.02},
            {"alpha": 0.9, "weight_decay": 0.1, "penalty": 0.5},
            {"logit_scale": 20.0, "seed": 3},
        ):
            known = method().get_params()
            settings = {
                name: value
                for name, value in {
                    "epochs": 20,
                    "iterations": 100,
                    "steps": 8,
                    "batch_size": 8,
                    **fixed,
                    **changes,
                }.items()
                if name in known
            }
            heads.append(method(**settings))
            sets.append(drawn)
    return heads, sets


STACKED: list[type[TrainedHead]] = [
    TaskRes,
    ZeroShotLinearProbe,
    CLAP,
    TipAdapterF,
    ClipAdapter,
    LinearProbePlusPlus,
    CrossModal,
    MetaAdapter,
    RegularizedLinearAdapter,
    ProLIP,
    Gated,
    Instruct,
    SeMoBridgeT,
    Consistency,
    Mixture,
]
PARTS: list[tuple[type[TrainedHead], dict[str, Any]]] = [
    *((method, {}) for method in STACKED),
    (ClipAdapter, {"text_alpha": 0.3}),
    (MetaAdapter, {"memory": "fifo"}),
]
"""Every stack, with all the parts that it may have."""


@pytest.mark.parametrize(("method", "fixed"), PARTS)
@pytest.mark.parametrize("threads", [1, 2])
def test_together_is_as_one_at_a_time(method: type[Head], fixed: dict[str, Any], threads: int) -> None:
    together, sets = grid(method, **fixed)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        fit_many(together, sets)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    alone, _ = grid(method, **fixed)
    for one, other, (X, y, text) in zip(together, alone, sets, strict=True):
        other.fit(X, y, text=text)
        for name, expected in other._arrays().items():
            assert_near(one._arrays()[name], expected, name=name)
        assert_near(one.losses_, other.losses_)
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
            assert_near(others[i]._arrays()[name], expected, name=name)


@pytest.mark.parametrize(("method", "fixed"), PARTS)
@pytest.mark.parametrize("begin", [0, 4])  # pools of fewer rows than columns, and of more
def test_some_may_be_kept_and_the_rest_dropped(method: Trained, fixed: dict[str, Any], begin: int) -> None:
    heads, sets = grid(method, **fixed)
    training = started(heads[begin : begin + 4], sets[begin : begin + 4])
    stack, chosen = training.stack, training.heads
    if isinstance(stack, AdapterStack):
        assert isinstance(stack.image.first, SpannedSGD) == (begin == 0)
        assert (stack.said is not None) == ("text_alpha" in fixed)
    stack.advance(stack.steps // 2)
    training.keep(torch.tensor([3, 1]))
    stack.advance()
    training.finish()
    for place in (3, 1):
        expected, _ = grid(method, **fixed)
        X, y, text = sets[begin + place]
        whole = expected[begin + place].fit(X, y, text=text)
        for name, array in whole._arrays().items():
            assert_near(chosen[place]._arrays()[name], array, name=name)
        assert_near(chosen[place].losses_, whole.losses_)


def started(heads: list[Head], sets: list[tuple[Any, Any, Any]]) -> InTraining:
    """Heads of one stack key at the start of their training."""
    trained = [head for head in heads if isinstance(head, TrainedHead)]
    return InTraining(trained, [Support.check(*each) for each in sets])


class Calls(TorchDispatchMode):
    """Notes every call: the operation, its numbers, and the shapes and places of its tensors."""

    def __init__(self, places: dict[int, str]) -> None:
        super().__init__()
        self.places, self.made = places, list[Any]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.made.append((str(func), tree_map(self._said, (args, kwargs or {}))))
        return func(*args, **(kwargs or {}))

    def _said(self, each: Any) -> Any:
        if not isinstance(each, torch.Tensor):
            return each
        return tuple(each.shape), self.places.get(each.untyped_storage().data_ptr(), "temporary")


@pytest.mark.parametrize(("method", "fixed"), PARTS)
@pytest.mark.parametrize("begin", [0, 4])
def test_a_step_may_be_captured(method: Trained, fixed: dict[str, Any], begin: int) -> None:
    """Every step makes the same calls with the same numbers, on tensors that stay where they are, and reads none."""
    heads, sets = grid(method, **fixed)
    training = started(heads[begin : begin + 4], sets[begin : begin + 4])
    stack = training.stack
    for part in (*getattr(stack, "sets", ()), stack):
        batches = getattr(part, "batches", None)
        if isinstance(batches, PaddedBatches):  # as on a GPU
            batches.longest = [batches.chosen.shape[1]] * len(batches.longest)
        if isinstance(batches, GatheredBatches):
            batches.copies = True
    stays = {name: tensor for name, tensor in held(stack, "stack") if ".ahead" not in name}
    places = {tensor.untyped_storage().data_ptr(): name for name, tensor in stays.items()}
    before, steps = None, []
    with torch.no_grad():
        for index in range(stack.steps):
            stack.load(index)
            with Calls(places) as calls:
                stack.step()
            stack.losses[:, index] = stack.loss
            steps.append(calls.made)
            after = {name: tensor.data_ptr() for name, tensor in held(stack, "stack") if name in stays}
            assert before is None or after == before
            before = after
    assert all(step == steps[0] for step in steps)
    waits = ("_local_scalar_dense", "nonzero", "unique", "masked_select", "_to_copy")
    assert not [name for step in steps[:1] for name, _ in step if any(wait in name for wait in waits)]
    stack.taken = stack.steps
    training.finish()
    alone, _ = grid(method, **fixed)
    for head, other, (X, y, text) in zip(
        training.heads, alone[begin : begin + 4], sets[begin : begin + 4], strict=True
    ):
        for name, array in other.fit(X, y, text=text)._arrays().items():
            assert_near(head._arrays()[name], array, name=name)


def held(part: object, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors of a stack and of its parts, by where they stand."""
    if isinstance(part, torch.Tensor):
        yield name, part
    elif isinstance(part, Stacked):
        for key, value in vars(part).items():
            yield from held(value, f"{name}.{key}")
    elif isinstance(part, list | tuple):
        for i, value in enumerate(part):
            yield from held(value, f"{name}[{i}]")


@pytest.mark.parametrize(("method", "fixed"), PARTS)
def test_no_stack_sees_a_head(method: Trained, fixed: dict[str, Any]) -> None:
    heads, sets = grid(method, **fixed)
    stack = started(heads[:4], sets[:4]).stack
    seen = [name for name, part in parts_of(stack, "stack") if isinstance(part, Head)]
    assert not seen


def parts_of(part: object, name: str) -> Iterator[tuple[str, object]]:
    """Everything that a stack, its parts and their lists hold, by where it stands."""
    yield name, part
    if isinstance(part, list | tuple):
        for i, value in enumerate(part):
            yield from parts_of(value, f"{name}[{i}]")
    elif isinstance(part, Stacked):
        for key, value in vars(part).items():
            yield from parts_of(value, f"{name}.{key}")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: stacks are captured as CUDA graphs there")
@pytest.mark.parametrize(("method", "fixed"), PARTS)
def test_on_a_gpu_it_is_as_on_the_cpu(method: type[Head], fixed: dict[str, Any]) -> None:
    there, sets = grid(method, device="cuda", **fixed)
    here, _ = grid(method, device="cpu", **fixed)
    fit_many(there, sets)  # two shapes of support: two stacks
    fit_many(here, sets)
    for one, other in zip(there, here, strict=True):
        assert_near(one.losses_, other.losses_)
        for name, expected in other._arrays().items():
            assert_near(one._arrays()[name], expected, name=name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: stacks are captured as CUDA graphs there")
@pytest.mark.parametrize(("method", "fixed"), PARTS)
def test_on_a_gpu_its_first_steps_are_the_cpus_and_its_bits_come_again(
    method: type[Head], fixed: dict[str, Any]
) -> None:
    """What differs after many steps is rounding that training enlarged: after a few there is next to nothing."""
    few = {"epochs": 2, "iterations": 2, "steps": 2, **fixed}
    (there, sets), (here, _), (again, _) = (grid(method, device=on, **few) for on in ("cuda", "cpu", "cuda"))
    for heads in (there, here, again):
        fit_many(heads, sets)
    for one, other, same in zip(there, here, again, strict=True):
        for name, expected in other._arrays().items():
            array = one._arrays()[name]
            np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max(), err_msg=name)
            np.testing.assert_array_equal(same._arrays()[name], array, err_msg=name)


def test_heads_that_do_not_train_are_fitted_too() -> None:
    drawn = support_set(2, 0)
    heads: list[Head] = [ZeroShot(), TaskRes(epochs=3)]
    fit_many(heads, [drawn, drawn])
    assert all(head.score(drawn[0][:, 0], drawn[1]) > 0.2 for head in heads)


def test_a_stack_is_bounded_by_the_state_it_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    heads, sets = grid(TaskRes, device="cpu")
    supports = [Support.check(*each) for each in sets]

    def sizes() -> list[int]:
        return [len(block.numbers) for block in blocks_of(heads, supports)]

    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert sizes() == [4, 8]  # 1 shot has other shapes than 4
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert sizes() == [2, 2, 4, 4]  # no worker is left without
    monkeypatch.setattr(stacking, "CPU_BYTES", 3 * 12 * CLASSES * DIM)
    assert max(sizes()) <= 3
    assert sorted(i for block in blocks_of(heads, supports) for i in block.numbers) == list(range(12))


def test_a_stack_is_bounded_by_all_that_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row numbers of thousands of small steps are much more than the state."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    drawn = support_set(4, 0)
    support = Support.check(*drawn)
    heads: list[Head] = [CrossModal(iterations=2000, batch_size=8, seed=seed, device="cpu") for seed in range(8)]
    assert len(blocks_of(heads, [support] * 8)) == 1
    of_one = bytes_of(started(heads[:1], [drawn]).stack)
    assert of_one > 2000 * 8 * 4 > 20 * heads[0]._state_bytes(support)  # type: ignore[attr-defined]
    monkeypatch.setattr(stacking, "CPU_MEMORY", 3 * of_one)
    blocks = blocks_of(heads, [support] * 8)
    assert [len(block.numbers) for block in blocks] == [2, 3, 3]
    assert all(bytes_of(block.begin().stack) <= 3 * of_one for block in blocks)


class Part(NamedTuple):
    """Something to do on a device."""

    device: torch.device
    number: int


def test_only_what_runs_on_the_cpu_runs_at_once() -> None:
    """Two threads that capture CUDA graphs would spoil each other's."""
    parts = [Part(torch.device(("cpu", "cuda", "mps")[i % 3]), i) for i in range(12)]
    doing: dict[int, int] = {}
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        done = list(side_by_side(lambda part: doing.update({part.number: threading.get_ident()}), parts))
    finally:
        torch.set_num_threads(before)
    assert sorted(done, key=lambda part: part.number) == parts
    here = threading.get_ident()
    assert all((doing[part.number] == here) == (part.device.type != "cpu") for part in parts)


@pytest.mark.parametrize(("count", "size", "workers"), [(105, 4, 2), (3, 8, 2), (1, 8, 2), (9, 4, 1), (16, 4, 4)])
def test_blocks_are_even(count: int, size: int, workers: int) -> None:
    blocks = [list(range(count))[cut] for cut in evenly(count, size, workers)]
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
