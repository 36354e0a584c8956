"""From the rows of a bench to its table: mean and spread over seeds, the best, and what ties with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
import numpy.typing as npt

from adapters.bench.protocols.columns import Column
from adapters.bench.protocols.learning import ADAPTED
from adapters.bench.protocols.protocols import PROTOCOLS
from adapters.bench.significance import interval_of, resampled_accuracies, seed_weights, tied_with
from adapters.bench.store import Record
from adapters.methods import BASELINE
from adapters.metrics import Interval
from adapters.show.numbers import shots_of

Array = npt.NDArray[np.float64]
CellName = tuple[str, int, str, int]
"""Cache, shots, method, seed."""


@dataclass(frozen=True)
class Entry:
    """One number of the table.

    Attributes:
        mean: over seeds, a fraction.
        std: sample standard deviation over seeds; None where there is one.
        seeds: how many there are.
        best: whether it is the best of its column.
        tied: whether it cannot be told from the best.
        how: keys of `adapters.bench.protocols.learning.HOW` other than the usual.
        less_zero_shot: 95 % interval of the paired difference to zero-shot; None where a seed is missing.
        less_best: likewise, to the best of the column.
    """

    mean: float
    std: float | None
    seeds: int
    best: bool
    tied: bool
    how: tuple[str, ...]
    less_zero_shot: Interval | None = None
    less_best: Interval | None = None


@dataclass(frozen=True)
class Line:
    """A method: what chose, one entry a column (None where nothing was found), ECE (a fraction), seconds of a fit."""

    method: str
    select: str
    entries: tuple[Entry | None, ...]
    ece: float
    seconds_fit: float


@dataclass(frozen=True)
class Block:
    """One table of the summary.

    Attributes:
        group: the cache, or that it is an average.
        title: the group and, unless the columns are shots, how many shots.
        columns: their headings.
        shots: number of shots of each column.
        lines: one a method, zero-shot first.
        cost: the heading of the column whose test rows and fits ECE and seconds are of.
    """

    group: str
    title: str
    columns: tuple[str, ...]
    shots: tuple[int, ...]
    lines: tuple[Line, ...]
    cost: str


@dataclass(frozen=True)
class _Place:
    """A column of a block: what to combine, of which caches, at how many shots."""

    column: Column
    heading: str
    caches: tuple[str, ...]
    shots: int


class _Scores:
    """Accuracies of a bench by part, as they are and in resamples."""

    def __init__(self, cells: Mapping[CellName, Sequence[Record]], seeds: Sequence[int]) -> None:
        self.cells, self.seeds = cells, seeds
        flat = {(name, record.row.part): record for name, parts in cells.items() for record in parts}
        self._resampled = resampled_accuracies(flat)
        self._weights = seed_weights(len(seeds))

    def found(self, place: _Place, method: str) -> list[int]:
        """Seeds that every cache of the place has."""
        return [s for s in self.seeds if all((c, place.shots, method, s) in self.cells for c in place.caches)]

    def records(self, place: _Place, method: str) -> list[Record]:
        """What the place is made from."""
        return [
            record
            for seed in self.found(place, method)
            for cache in place.caches
            for record in self.cells[cache, place.shots, method, seed]
            if record.row.part in place.column.parts
        ]

    def by_seed(self, place: _Place, method: str) -> dict[str, Array]:
        """Accuracy (S,) of every part, averaged over the caches."""
        seeds = self.found(place, method)
        return {
            part: np.array(
                [fmean(self._accuracy(cache, place.shots, method, s, part) for cache in place.caches) for s in seeds]
            )
            for part in place.column.parts
        }

    def resampled(self, place: _Place, method: str) -> Array:
        """The place's number (B,) in every resample; needs all seeds."""
        parts = {}
        for part in place.column.parts:
            of_seeds = [
                np.mean([self._resampled[(cache, place.shots, method, s), part] for cache in place.caches], axis=0)
                for s in self.seeds
            ]
            parts[part] = (self._weights * np.stack(of_seeds, axis=1)).sum(1)
        return place.column.combine(parts)

    def _accuracy(self, cache: str, shots: int, method: str, seed: int, part: str) -> float:
        records = self.cells[cache, shots, method, seed]
        return next(record.row.accuracy for record in records if record.row.part == part)


def summarise(
    cells: Mapping[CellName, Sequence[Record]], methods: Sequence[str], seeds: Sequence[int]
) -> tuple[Block, ...]:
    """The tables of a bench.

    Of several caches there is a table each, and one of their averages: parts are averaged first, then combined.

    Args:
        cells: the records of every finished cell.
        methods: in the order of the lines.
        seeds: all seeds asked for.
    """
    if not cells:
        return ()
    scores = _Scores(cells, seeds)
    some = next(iter(cells.values()))
    kinds = PROTOCOLS[some[0].row.protocol].columns([record.row.part for record in some])
    caches = list(dict.fromkeys(name[0] for name in cells))
    shots = sorted({name[1] for name in cells})
    groups: dict[str, tuple[str, ...]] = {cache: (cache,) for cache in caches}
    if len(caches) > 1:
        groups[f"average of {len(caches)} caches"] = tuple(caches)
    blocks = []
    for group, members in groups.items():
        if len(kinds) == 1:
            places = [_Place(kinds[0], shots_of(k), members, k) for k in shots]
            blocks.append(_block(scores, group, group, places, methods, cost=places[-1]))
            continue
        for k in shots:
            places = [_Place(kind, kind.name, members, k) for kind in kinds]
            blocks.append(_block(scores, group, f"{group}, {shots_of(k)}", places, methods, cost=places[0]))
    return tuple(blocks)


def _block(
    scores: _Scores, group: str, title: str, places: Sequence[_Place], methods: Sequence[str], cost: _Place
) -> Block:
    entries = [_entries(scores, place, methods) for place in places]
    lines = []
    for method in methods:
        records = scores.records(cost, method) or [r for place in places for r in scores.records(place, method)]
        if records:
            ece, seconds = fmean(r.row.ece for r in records), median(r.row.seconds_fit for r in records)
            lines.append(
                Line(method, records[0].row.select, tuple(column.get(method) for column in entries), ece, seconds)
            )
    headings = tuple(place.heading for place in places)
    return Block(group, title, headings, tuple(place.shots for place in places), tuple(lines), cost.heading)


def _entries(scores: _Scores, place: _Place, methods: Sequence[str]) -> dict[str, Entry]:
    """One column: an entry for every method that has a seed there; only those with all seeds are compared."""
    by_seed = {method: scores.by_seed(place, method) for method in methods if scores.found(place, method)}
    means = {
        method: float(place.column.combine({part: values.mean() for part, values in parts.items()}))
        for method, parts in by_seed.items()
    }
    # Heads that were shown shots of the tested classes, which no other method saw, are listed and not ranked.
    informed = {m for m in by_seed if any(record.row.how == ADAPTED for record in scores.records(place, m))}
    whole = [m for m in by_seed if m not in informed and len(scores.found(place, m)) == len(scores.seeds)]
    best = max(whole, key=means.__getitem__, default=None)
    complete = {m: scores.resampled(place, m) for m in by_seed if len(scores.found(place, m)) == len(scores.seeds)}
    against = None if best is None else complete[best]
    found = {}
    for method, parts in by_seed.items():
        spread = place.column.combine(parts)
        is_best = best is not None and method in whole and means[method] == means[best]
        tied = method in whole and against is not None and tied_with(against, complete[method])
        found[method] = Entry(
            mean=means[method],
            std=float(np.std(spread, ddof=1)) if len(spread) > 1 else None,
            seeds=len(spread),
            best=is_best,
            tied=tied and not is_best,
            how=tuple(dict.fromkeys(r.row.how for r in scores.records(place, method) if r.row.how)),
            less_zero_shot=_less(complete.get(method), complete.get(BASELINE)),
            less_best=_less(complete.get(method), against),
        )
    return found


def _less(one: Array | None, other: Array | None) -> Interval | None:
    """The interval of a difference over resamples (B,)."""
    return None if one is None or other is None else interval_of(one - other)
