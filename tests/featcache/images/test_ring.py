"""Memory that forked children write and their parent reads."""

from __future__ import annotations

import time
from multiprocessing import get_context

import pytest
import torch

from featcache.images.ring import Ring


def fill(ring: Ring) -> None:
    ring.slots[1, 2:] = 7


def test_a_child_writes_what_its_parent_reads() -> None:
    ring = Ring(3, 4)
    assert (len(ring), ring.slots.shape, ring.slots.dtype) == (3, (3, 4), torch.uint8)
    child = get_context("fork" if ring.forked else None).Process(target=fill, args=(ring,))
    child.start()
    child.join()
    assert ring.slots.tolist() == [[0] * 4, [0, 0, 7, 7], [0] * 4]


def test_without_a_gpu_nothing_is_locked() -> None:
    with Ring(1, 8).page_locked(torch.device("cpu")):
        pass


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: only it locks pages")
def test_a_gpu_locks_pages_and_lets_them_go_again() -> None:
    ring = Ring(2, 4096)
    for _ in range(2):  # locking twice what is locked would fail
        with ring.page_locked(torch.device("cuda")):
            until = time.monotonic() + 10
            while not ring.slots[0].is_pinned():
                assert time.monotonic() < until
        assert not ring.slots[0].is_pinned()
