"""Many trainings as one program: heads of one kind whose parameters are stacked and stepped together.

A `Stack` holds G heads with parameters (G, ...): a step is one batched product for all of them, with each head's own
learning rate, decay, alpha, seed, batches and support. What a head learns does not depend on who shares its stack:
every operation of a step works along the first axis head by head.

Where that pays differs. On a GPU the cost of a small step is launching it, so that a stack is as large as memory
allows, and one trains after another: they share the device anyway, and only one thread at a time may capture. On a CPU
a step of a large stack would find its parameters and moments gone from the cache; there stacks are cut so that their
state stays in it, and as many stacks as there are cores train side by side, one thread each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor

from adapters.arrays import Support
from adapters.errors import AdapterError
from adapters.head import Head
from adapters.training.loop import resolve_device, threads_for
from adapters.training.stacked import Stacked, bytes_of

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


class OnDevice(Protocol):
    """Work that knows where it is done."""

    @property
    def device(self) -> torch.device:
        """Where."""


H = TypeVar("H", bound="TrainedHead")
P = TypeVar("P", bound=OnDevice)


class Stack(Stacked, ABC, Generic[H]):
    """Heads in training.

    A step reads only tensors that stay where they are: `load` puts its batch and rates there, `step` works on them in
    place. On a GPU the first step runs as it is, and is then captured as a CUDA graph, which launches all kernels of a
    step at once.

    Args:
        heads: G heads of one class and one `_stack_key`; `finish` writes what was learned to them.
        steps: how many steps a whole training takes.
        work: numbers that the largest call of a step reads or writes (`adapters.training.loop.threads_for`).

    Attributes:
        taken: how many steps were taken.
        losses: loss of every head before every step taken (G, steps).
    """

    def __init__(self, heads: Sequence[H], *, steps: int, work: int) -> None:
        self.heads, self.steps, self.work, self.taken = list(heads), steps, work, 0
        self.device = resolve_device(heads[0].device)
        self.captures = self.device.type == "cuda"  # where every step is the same work on the same tensors
        self.losses = torch.zeros(len(heads), steps, device=self.device)
        self.loss = torch.zeros(len(heads), device=self.device)  # of one step: `step` writes it
        self._replay: Callable[[], None] | None = None  # the step, once captured

    @abstractmethod
    def load(self, index: int) -> None:
        """Put what the step of that number sees, and its rates, where `step` reads them."""

    @abstractmethod
    def step(self) -> None:
        """Take one step, in place; writes `loss` (G,)."""

    @abstractmethod
    def write(self, head: H, place: int) -> None:
        """Write what the head in that place (0 to G - 1) has learned so far to it."""

    def advance(self, until: int | None = None) -> None:
        """Train up to and without the step `until`; None: to the end."""
        end = self.steps if until is None else min(until, self.steps)
        with torch.inference_mode(), threads_for(self.work):
            for index in range(self.taken, end):
                self.load(index)
                (self._replay or self.step)()
                self.losses[:, index] = self.loss
                if self.captures and self._replay is None:
                    self._replay = captured(self.step)
        self.taken = max(self.taken, end)

    def finish(self) -> None:
        """Write what was learned so far to the heads."""
        for place, head in enumerate(self.heads):
            head.losses_ = self.losses[place, : self.taken].cpu().numpy()
            self.write(head, place)

    def keep(self, places: Tensor) -> None:
        """Go on with some of the heads only, in the order given."""
        places = places.to(self.device)
        super().keep(places)
        self.heads = [self.heads[place] for place in places.tolist()]
        self.losses, self.loss = self.losses[places], self.loss[places]
        self._replay = None


class TrainedHead(Head):
    """A head that is trained in steps, by itself or in a stack: `fit` is a stack of one.

    Attributes:
        losses_: training loss of every step; not saved.
    """

    device: str
    losses_: Any

    def _fit(self, support: Support) -> None:
        with threads_for(support.views.size):  # copying a small support is not worth waking a second thread either
            stack = self._stack([self], [support])
        stack.advance()
        stack.finish()

    @abstractmethod
    def _stack_key(self, support: Support) -> Hashable:
        """What heads must have in common to share a stack: shapes, numbers of steps and rows, the parts they have."""

    @abstractmethod
    def _state_bytes(self, support: Support) -> int:
        """Bytes of the parameters and moments of one head, and of its batch where that is larger."""

    @classmethod
    @abstractmethod
    def _stack(cls, heads: Sequence[Self], supports: Sequence[Support]) -> Stack[Self]:
        """Heads of one `_stack_key` at the start of their training."""


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
    checked = {id(each): Support.check(*each) for each in sets}
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
    heads: list[TrainedHead]
    supports: list[Support]
    """What each is trained on."""

    @property
    def device(self) -> torch.device:
        """Where they are trained."""
        return resolve_device(self.heads[0].device)

    def stack(self) -> Stack[TrainedHead]:
        """The stack at the start of its training."""
        for head, support in zip(self.heads, self.supports, strict=True):
            head._prepare(support)
        return type(self.heads[0])._stack(self.heads, self.supports)


def blocks_of(heads: Sequence[Head], supports: Sequence[Support]) -> list[Block]:
    """The trained heads, in blocks that are to share a stack, bounded by what a device takes."""
    groups: defaultdict[Hashable, list[tuple[int, TrainedHead, Support]]] = defaultdict(list)
    for number, (head, support) in enumerate(zip(heads, supports, strict=True)):
        if isinstance(head, TrainedHead):
            groups[type(head), head.device, head._stack_key(support)].append((number, head, support))
    blocks = []
    for group in groups.values():
        cpu = resolve_device(group[0][1].device).type == "cpu"
        cuts = evenly(len(group), _size(group[0][1], group[0][2], cpu), torch.get_num_threads() if cpu else 1)
        for cut in cuts if len(group) > 1 else [slice(1)]:
            numbers, chosen, own = (list(part) for part in zip(*group[cut], strict=True))
            blocks.append(Block(numbers, chosen, own))
    return blocks


def _size(head: TrainedHead, support: Support, cpu: bool) -> int:
    """How many heads like this one may share a stack."""
    memory = bytes_of(type(head)._stack([head], [support]))
    return max(1, min(CPU_BYTES // head._state_bytes(support), CPU_MEMORY // memory) if cpu else GPU_MEMORY // memory)


def evenly(members: int, size: int, workers: int) -> list[slice]:
    """Cut a group into blocks of at most `size`, so that as many workers end their last one together."""
    rounds = -(-members // (size * workers))
    count = min(members, rounds * workers)
    return [slice(i * members // count, (i + 1) * members // count) for i in range(count)]


def side_by_side(work: Callable[[P], None], parts: Sequence[P]) -> Iterator[P]:
    """Do the work of every part; yields those that are done.

    What runs on the CPU is done on as many threads as torch has, one each. All else is done in the caller's thread, one
    after another: while a thread captures a CUDA graph, no other may use the GPU.
    """
    threads = torch.get_num_threads()
    many = [part for part in parts if part.device.type == "cpu"] if threads > 1 else []
    if len(many) < 2:
        many = []
    for part in parts:
        if not many or part.device.type != "cpu":
            work(part)
            yield part
    if not many:
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            tasks = {pool.submit(work, part): part for part in many}
            try:
                for task in as_completed(tasks):
                    task.result()
                    yield tasks.pop(task)
            finally:  # an error, Ctrl-C or a reader that stops: what has not begun is not begun
                pool.shutdown(cancel_futures=True)
    finally:
        torch.set_num_threads(threads)  # the workers' setting is also that of threads yet to come


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """The step as a CUDA graph, recorded without running."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _train(block: Block) -> None:
    stack = block.stack()
    stack.advance()
    stack.finish()
