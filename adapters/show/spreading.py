"""Room for names that stand beside each other, such as those at the ends of lines."""

from __future__ import annotations

from collections.abc import Sequence


def spread_out(wanted: Sequence[float], spacing: float) -> list[float]:
    """Places in [0, 1] at least `spacing` apart, as near to the wanted ones as that allows (least squares).

    Args:
        wanted: ascending.
        spacing: the least distance; all must fit.
    """
    # With the spacing taken off, places need only ascend: isotonic regression, by pooling adjacent violators.
    pools: list[list[float]] = []  # sum and count
    for index, place in enumerate(wanted):
        pools.append([place - index * spacing, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    flat = [total / count for total, count in pools for _ in range(int(count))]
    room = 1 - (len(wanted) - 1) * spacing
    return [min(max(place, 0.0), room) + index * spacing for index, place in enumerate(flat)]
