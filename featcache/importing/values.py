"""The numbers themselves, looked at once before any is kept: rows that say nothing, lengths, a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from featcache.datasets.dataset import Split
from featcache.errors import DataError
from featcache.importing.formats.arrays import Column
from featcache.progress import Reporter

ZERO, NOT_FINITE = "the row is all zero", "the row holds NaN or infinity"
UNIT = {"float16": 5e-3, "bfloat16": 2e-2}
"""How far from 1 the length of a unit row may be, by the type that it was rounded to; of others `EXACTLY`."""
EXACTLY = 1e-3
NAMED = 5
"""Bad rows that a message names."""


@dataclass(frozen=True)
class Values:
    """What was found.

    Attributes:
        bad: Why a row says nothing, by its number in the source.
        normalised: Whether all others have length 1.
        sha256: Of shape and numbers, as they came.
    """

    bad: dict[int, str]
    normalised: bool
    sha256: str


def look_at(column: Column, reporter: Reporter) -> Values:
    """Read all embeddings (N, D) once."""
    sha = hashlib.sha256(f"{column.shape} {column.dtype}".encode())
    bad: dict[int, str] = {}
    farthest, tolerance, first = 0.0, UNIT.get(column.dtype, EXACTLY), 0
    reporter.start(f"Looking at {len(column):,} rows", len(column))
    for block, raw in float_blocks(column):
        sha.update(np.ascontiguousarray(raw).data)
        lengths = np.linalg.norm(block.astype(np.float64), axis=1)
        for rows, why in ((~np.isfinite(lengths), NOT_FINITE), (lengths == 0, ZERO)):
            bad |= dict.fromkeys((first + np.flatnonzero(rows)).tolist(), why)
        good = lengths[np.isfinite(lengths) & (lengths > 0)]
        farthest = max(farthest, float(np.abs(good - 1).max(initial=0.0)))
        first += len(block)
        reporter.advance(len(block), 0)
    return Values(dict(sorted(bad.items())), farthest <= tolerance and len(bad) < len(column), sha.hexdigest())


def float_blocks(column: Column) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All rows (B, D) as float16 or float32, beside themselves as they came; what float32 cannot hold is infinite."""
    for raw in column.blocks():
        with np.errstate(over="ignore"):
            yield raw if raw.dtype in (np.float16, np.float32) else raw.astype(np.float32), raw


def refuse_bad(values: Values, splits: dict[str, Any], where: str) -> None:
    """Refuse rows that say nothing, naming the first.

    Args:
        values: What was found.
        splits: `NumberedSplit`s, which know the ids of rows.
        where: What messages call the source.

    Raises:
        DataError: There are some.
    """
    if not values.bad:
        return
    ids = dict[int, str]()
    for split in splits.values():
        hits = np.flatnonzero(np.isin(split.rows, list(values.bad)[: NAMED * 8]))
        ids |= {int(split.rows[hit]): split.ids[hit] for hit in hits.tolist()}
    named = [f"{row} ({ids[row]}): {why}" if row in ids else f"{row}: {why}" for row, why in values.bad.items()]
    more = f" and {len(named) - NAMED:,} more" if len(named) > NAMED else ""
    rows = "1 row says" if len(named) == 1 else f"{len(named):,} rows say"
    raise DataError(
        f"{where}: {rows} nothing: row {', row '.join(named[:NAMED])}{more}; mend them, or type "
        "--on-error skip to leave them empty"
    )


def row_digests(rows: np.ndarray, size: int) -> np.ndarray:
    """(R, `size`) uint8: of each row's numbers the first bytes of their SHA-256: equal rows are told as copies."""
    contiguous = np.ascontiguousarray(rows)
    digests = b"".join(hashlib.sha256(row.data).digest()[:size] for row in contiguous)
    return np.frombuffer(digests, np.uint8).reshape(len(rows), size)


def bad_entries(split: Split, rows: np.ndarray, positions: range, bad: dict[int, str]) -> list[dict[str, Any]]:
    """What a cache says of its empty rows: number, id and reason of each.

    Args:
        split: Whose rows they are.
        rows: (R,) their numbers in the source.
        positions: Their numbers in the split.
        bad: Why, by numbers in the source.
    """
    return [
        {"row": position, "id": split.ids[position], "reason": bad[row]}
        for row, position in zip(rows.tolist(), positions, strict=True)
        if row in bad
    ]
