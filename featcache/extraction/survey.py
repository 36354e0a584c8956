"""All unreadable images at once, before any is encoded: whether it pays to look, the list, and what is said of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from featcache.datasets.dataset import Dataset
from featcache.errors import DataError
from featcache.extraction.request import Request
from featcache.ids import decode_ids, encode_ids
from featcache.images.headers import look_at, why_unreadable
from featcache.places.home import local_home
from featcache.places.whole import write_whole
from featcache.show.page import Table
from featcache.show.spreadsheet import spreadsheet

LITTLE = 0.05
"""Of the time of a run, at most, that looking may take where nobody asked for it."""
SAMPLE = 32
"""Images that are looked at to learn what one costs."""
PART = 256
"""Images that a process looks at at a time."""
ALONE = 2048
"""Images that one process looks at sooner than several are started."""
SHOWN = 10
"""Unreadable images that are shown; the file has all."""


class Unreadable(NamedTuple):
    """An image that cannot be read."""

    split: str
    row: int
    id: str
    reason: str


@dataclass(frozen=True)
class Surveyed:
    """What headers told.

    Attributes:
        images: How many were looked at.
        unreadable: Those that cannot be read, in order.
    """

    images: int
    unreadable: Sequence[Unreadable]


def costs_little(
    dataset: Dataset, parts: Sequence[tuple[str, range]], *, rate: float, starting: float, workers: int
) -> bool:
    """Whether looking at these rows takes at most `LITTLE` of the run's time, by a few that lie apart.

    Args:
        dataset: Whose rows they are.
        parts: Splits and rows.
        rate: Images a second of the run.
        starting: Seconds that it takes beside, to load the encoder.
        workers: Processes that would look.
    """
    every = [(split, row) for split, rows in parts for row in rows[:: max(1, len(rows) // SAMPLE)]]
    some = every[:: max(1, len(every) // SAMPLE)][:SAMPLE]
    if not some:
        return False
    ends = [time.perf_counter()]
    for split, row in some:
        why_unreadable(dataset.reader, dataset.splits[split].ids[row])
        ends.append(time.perf_counter())
    seconds = float(np.median(np.diff(ends)))  # the first bad image makes Pillow load all that it knows
    rows = sum(len(rows) for _, rows in parts)
    return rows * seconds / _processes(parts, workers) <= LITTLE * (rows / rate + starting)


def survey(dataset: Dataset, parts: Sequence[tuple[str, range]], workers: int) -> Surveyed:
    """Look at rows.

    Raises:
        DataError: The system killed a process.
    """
    ids = {split: encode_ids(part.ids) for split, part in dataset.splits.items()}
    cut = [(split, rows[start : start + PART]) for split, rows in parts for start in range(0, len(rows), PART)]
    processes = _processes(parts, workers)
    found = [
        Unreadable(split, row, str(decode_ids(ids[split][row : row + 1])[0]), reason)
        for (split, rows), reasons in zip(
            cut, look_at(dataset.reader, ids, cut, processes if processes > 1 else 0, why_unreadable), strict=True
        )
        for row, reason in zip(rows, reasons, strict=True)
        if reason
    ]
    return Surveyed(sum(len(rows) for _, rows in parts), found)


def _processes(parts: Sequence[tuple[str, range]], workers: int) -> int:
    return workers if workers > 1 and sum(len(rows) for _, rows in parts) > ALONE else 1


def told(surveyed: Surveyed, request: Request, name: str, note: Callable[[str], None]) -> None:
    """Write the list of unreadable images to a file, and say so.

    Args:
        surveyed: With some that are unreadable.
        request: Says whether to fail.
        name: The cache's.
        note: Shows a line.

    Raises:
        DataError: The run is to fail.
    """
    bad = surveyed.unreadable
    path = local_home(request.root) / "unreadable" / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table = spreadsheet(["id", "split", "reason"], [(one.id, one.split, one.reason) for one in bad])
    write_whole(path, table.encode("utf-8", "surrogateescape"))
    if len(bad) > 1:
        for line in Table(["id", "split", "reason"], [(one.id, one.split, one.reason) for one in bad[:SHOWN]]).lines():
            note(line)
    if len(bad) > SHOWN:
        note(f"and {len(bad) - SHOWN:,} more")
    if request.on_error == "skip":
        rows = f"its row stays empty: {path} names it" if len(bad) == 1 else f"their rows stay empty: {path} lists them"
        note(f"{len(bad):,} of {surveyed.images:,} images cannot be read, and {rows}")
        return
    first = bad[0]
    many = f"{len(bad):,} of {surveyed.images:,} images cannot be read, first " if len(bad) > 1 else "cannot read "
    message = f"{many}{first.id} ({first.split} row {first.row}): {first.reason}; {path} lists them: "
    raise DataError(message + "mend the files, or type --on-error skip to leave their rows empty")
