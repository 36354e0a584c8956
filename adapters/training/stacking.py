"""Many trainings as one program: heads of one kind share stacks (`training.stack`), cut for the device they run on.

Where that pays differs. On a GPU the cost of a small step is launching it, so that a stack is as large as memory
allows, and one trains after another: they share the device anyway, and only one thread at a time may capture. On a CPU
a step of a large stack would find its parameters and moments gone from the cache; there stacks are cut so that their
state stays in it, and as many stacks as there are cores train side by side, one thread each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

from adapters.device import resolve_device
from adapters.errors import AdapterError
from adapters.head import Head
from adapters.support import Support
from adapters.training.balance import balance_of
from adapters.training.side_by_side import side_by_side
from adapters.training.stack_parts import bytes_of
from adapters.training.trained_head import InTraining, TrainedHead

CPU_BYTES = 1 << 22
"""Parameters and moments of a stack on a CPU: a core's own cache and its share of the common one.

Of 1, 2, 4, ... trainings in a stack, those with 2 to 4 MB of them took least time a step for each (CLIP-Adapter of 128
and 512 dimensions, TaskRes of 10 and 100 classes; cores with 1 MB of their own): with less, the calls cost more than
the arithmetic; with more, every pass over the state waits for memory.
"""
CPU_MEMORY = 1 << 28
"""All that a stack on a CPU holds between two steps, its batches and pools too; a worker has one stack at a time."""
GPU_MEMORY = 1 << 33
"""The same on a GPU."""


def fit_many(heads: Sequence[Head], sets: Sequence[tuple[Any, Any, Any]]) -> None:
    """Fit heads, each on a set of its own, as few programs as possible.

    Every head ends as `fit` would have left it, to float32 rounding.

    Args:
        heads: unfitted heads of any methods.
        sets: X, y and text of each head, as in `Head.fit`; repeat a tuple for heads that share one.

    Raises:
        AdapterError: not as many sets as heads, or what `fit` would refuse.
    """
    if len(heads) != len(sets):
        raise AdapterError(f"{len(heads)} heads and {len(sets)} sets given; expected one (X, y, text) for each head")
    if any(len(each) != 3 for each in sets):
        raise AdapterError("expected (X, y, text) for each head; text may be None")
    unlabelled = all(head.takes_unlabelled for head in heads)
    checked = {id(each): Support.check(*each, unlabelled=unlabelled) for each in sets}
    for head in heads:
        head._check_parameters()
    for _ in fit_supports(heads, [checked[id(each)] for each in sets]):
        pass


def fit_supports(heads: Sequence[Head], supports: Sequence[Support]) -> Iterator[int]:
    """Fit heads, each on its support; yields the number of each head when it is done, in any order."""
    alone = [i for i, head in enumerate(heads) if not isinstance(head, TrainedHead)]
    for i in alone:
        heads[i]._fit_support(supports[i])
        yield i
    for block in side_by_side(_train, blocks_of(heads, supports)):
        yield from block.numbers


class Block(NamedTuple):
    """Heads that are to share a stack."""

    numbers: list[int]
    """Which of all heads they are."""
    heads: list[TrainedHead[Any]]
    supports: list[Support]
    """What each is trained on."""

    @property
    def device(self) -> torch.device:
        """Where they are trained."""
        return resolve_device(self.heads[0].device)

    def begin(self) -> InTraining:
        """The heads at the start of their training."""
        return InTraining(self.heads, self.supports)


def blocks_of(heads: Sequence[Head], supports: Sequence[Support]) -> list[Block]:
    """The trained heads, in blocks that are to share a stack, bounded by what a device takes."""
    groups: defaultdict[Hashable, list[tuple[int, TrainedHead[Any], Support]]] = defaultdict(list)
    for number, (head, support) in enumerate(zip(heads, supports, strict=True)):
        if isinstance(head, TrainedHead):
            key = type(head), head.device, balance_of(head.balance, support), head._stack_key(support)
            groups[key].append((number, head, support))
    blocks = []
    for group in groups.values():
        cpu = resolve_device(group[0][1].device).type == "cpu"
        cuts = evenly(len(group), _size(group[0][1], group[0][2], cpu), torch.get_num_threads() if cpu else 1)
        for cut in cuts if len(group) > 1 else [slice(1)]:
            numbers, chosen, own = (list(part) for part in zip(*group[cut], strict=True))
            blocks.append(Block(numbers, chosen, own))
    return blocks


def _size(head: TrainedHead[Any], support: Support, cpu: bool) -> int:
    """How many heads like this one may share a stack."""
    memory = bytes_of(head._stack([head._plan(support)], resolve_device(head.device)))
    return max(1, min(CPU_BYTES // head._state_bytes(support), CPU_MEMORY // memory) if cpu else GPU_MEMORY // memory)


def evenly(members: int, size: int, workers: int) -> list[slice]:
    """Cut a group into blocks of at most `size`, so that as many workers end their last one together."""
    rounds = -(-members // (size * workers))
    count = min(members, rounds * workers)
    return [slice(i * members // count, (i + 1) * members // count) for i in range(count)]


def _train(block: Block) -> None:
    training = block.begin()
    training.stack.advance()
    training.finish()
