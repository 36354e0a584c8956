"""Searching an ascending grid of the sharpness beta where a try is dear: few values, then closer around the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from adapters.arrays import Doubles


def refine(
    best_at: Callable[[Sequence[float]], Sequence[int]], grid: Sequence[float] | Doubles, *, stride: int, beam: int = 3
) -> None:
    """Try few values of an ascending grid, around the best of them ever more closely.

    Every `stride`-th value and the last come first. Then the stride is halved until it is 1, and each time the
    neighbours, one stride away, of the `beam` best values so far are added: some 30 of 200. Accuracy can have several
    maxima: only stride=1, which tries all, is sure to find the best of them.

    Args:
        best_at: asked once a pass for the right answers at some values, ascending; it keeps what it found.
        grid: candidates (B,).
        stride: of the first pass.
        beam: how many of the best are refined around.
    """
    found: dict[int, int] = {}
    wanted = {*range(0, len(grid), stride), len(grid) - 1}
    while True:
        if new := sorted(wanted - found.keys()):
            found.update(zip(new, best_at([float(grid[i]) for i in new]), strict=True))
        if stride == 1:
            return
        stride = (stride + 1) // 2
        ranked = sorted(found, key=lambda i: (-found[i], i))
        wanted = {j for i in ranked[:beam] for j in (i - stride, i + stride) if 0 <= j < len(grid)}
