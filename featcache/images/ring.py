"""Memory that decoding processes write and this one reads: a ring of slots, used again and again.

Nothing decoded is pickled or sent through a queue; a worker writes pixels where they are read.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from threading import Thread

import torch


class Ring:
    """Slots of equal size in memory that is shared with child processes.

    Attributes:
        slots: (S, bytes) uint8.
        forked: Whether children have to be forked to share it.
    """

    def __init__(self, slots: int, slot_bytes: int) -> None:
        size = slots * slot_bytes
        self.forked = sys.platform == "linux"
        if self.forked:  # memory without a name: it does not count against /dev/shm, which containers keep small
            memory = torch.frombuffer(mmap(-1, size), dtype=torch.uint8)
        else:
            memory = torch.empty(size, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]
        self.slots = memory.view(slots, slot_bytes)

    def __len__(self) -> int:
        return len(self.slots)

    @contextmanager
    def page_locked(self, device: torch.device) -> Iterator[None]:
        """Keep the pages in place while a GPU copies from them, so that it copies at full speed and without waiting.

        A system that refuses (a container may limit locked memory) copies more slowly.
        """
        if device.type != "cuda":
            yield
            return
        runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
        address, status = self.slots.data_ptr(), list[int]()

        # In a thread: it takes a second for two GiB, in which the first pictures are decoded.
        def lock() -> None:
            with torch.cuda.device(device):
                status.append(int(runtime.cudaHostRegister(address, self.slots.numel(), 0)))

        locking = Thread(target=lock)
        locking.start()
        try:
            yield
        finally:
            locking.join()
            if status == [0]:
                torch.cuda.synchronize(device)
                runtime.cudaHostUnregister(address)
