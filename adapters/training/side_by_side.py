"""Work in as many threads as torch has, where it runs on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Protocol, TypeVar

import torch


class OnDevice(Protocol):
    """Work that knows where it is done."""

    @property
    def device(self) -> torch.device:
        """Where."""


P = TypeVar("P", bound=OnDevice)


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
