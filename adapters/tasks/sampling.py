"""Few-shot sampling: K rows a class, seeded, nested, the same on every machine.

Each class has its own permutation of its rows, drawn from `(seed, stream, class index)` alone, and the K-shot set is
the permutation's first K. So the 4-shot set contains the 2-shot set, and one class's draw does not depend on another's.
CoOp draws from Python's global state instead, which is why "seed 1" means something else in every repository that
follows it; its published draws are used through `adapters.tasks.index_files`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from adapters.errors import TaskError
from adapters.parameters import is_integer

Stream = Literal["support", "val"]
_STREAMS: dict[Stream, int] = {"support": 0, "val": 1}  # support and val draws of one seed are independent


MOST_SEED = 2**32 - 1
"""Every generator takes it, also where a head derives seeds of tasks from it."""


def class_permutation(
    rows: npt.NDArray[np.int64], *, seed: int, class_index: int, stream: Stream
) -> npt.NDArray[np.int64]:
    """One class's rows (N_c,) in the order in which they are taken as shots."""
    source = np.random.SeedSequence(entropy=seed, spawn_key=(_STREAMS[stream], class_index))
    return rows[np.random.default_rng(source).permutation(len(rows))]


def sample_shots(
    labels: npt.NDArray[np.int64],
    valid: npt.NDArray[np.bool_],
    *,
    class_names: Sequence[str],
    shots: int,
    seed: int,
    stream: Stream = "support",
    allow_fewer: bool = False,
) -> npt.NDArray[np.int64]:
    """Draw `shots` valid rows of every class.

    An invalid row is passed over after the permutation, so an unreadable image changes nothing but its own place.

    Args:
        labels: class index of every row, (N,).
        valid: which rows hold an embedding, (N,).
        class_names: the C classes; every one of them is sampled, in this order.
        shots: rows a class, K >= 1.
        seed: names the draw, >= 0.
        stream: `support` (from train) or `val`, so that the two never share a permutation.
        allow_fewer: take a class that has fewer than K rows as it is.

    Returns:
        Row numbers (C * K,), grouped by class in class order, each class in the order of its permutation.

    Raises:
        TaskError: `shots` or `seed` make no sense, or a class has fewer than K valid rows.
    """
    check_draw(shots, seed)
    there = np.bincount(labels[valid & (labels >= 0)], minlength=len(class_names))[: len(class_names)]
    if len(there) and there.min() < shots and not allow_fewer:
        raise too_few(class_names[int(there.argmin())], int(there.min()), shots)
    chosen: list[npt.NDArray[np.int64]] = []
    for index in range(len(class_names)):
        rows = np.flatnonzero(labels == index)
        order = class_permutation(rows, seed=seed, class_index=index, stream=stream)
        chosen.append(order[valid[order]][:shots])
    return np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)


def check_draw(shots: int, seed: int) -> None:
    """Raise TaskError unless they are integers, `shots` >= 1 and `seed` >= 0."""
    if not is_integer(shots) or shots < 1:
        raise TaskError(f"{shots!r} shots given; expected an integer, 1 or more: type --shots 4")
    if not is_integer(seed) or not 0 <= seed <= MOST_SEED:
        raise TaskError(f"seed {seed!r} given; expected an integer, 0 to {MOST_SEED:,}: type --seed 1")


def largest_class(labels: npt.NDArray[np.int64], valid: npt.NDArray[np.bool_]) -> int:
    """Valid rows of the largest class: as many shots are all of every class; 1 where there are none."""
    return max(1, int(np.bincount(labels[valid], minlength=1).max()))


def too_few(class_name: str, count: int, shots: int) -> TaskError:
    """The error for a class that cannot give K shots; of several the smallest, since as many shots all can give."""
    images = "1 image" if count == 1 else f"{count} images"
    remedy = f"type --shots {count}, or" if count else "type"
    return TaskError(
        f"class {class_name!r} has {images} to draw from, expected {shots}: "
        f"{remedy} --allow-fewer to use such classes as they are"
    )
