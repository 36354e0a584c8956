"""What a bench keeps on disk, so that a killed one continues where it was.

    DIR/cells/<key>.json   one finished cell: its identity, its rows, which test rows were right (packed bits, base64)
    DIR/results.csv        all rows of all cells, tidy: one a method, shots, seed and part of the protocol
    DIR/results.parquet    the same with types
    DIR/results.json       the same with the reliability bins
    DIR/bench.json         what the last bench here showed: its tables and notes, and its rows

The cells are the truth; the three tables are made from them every few seconds and at the end, and are moved into place
when all are written; the last vouches for the others (`adapters.show.tidy`). Every file is written under another name
and moved into place, and a lock keeps a second bench out of the folder.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from adapters.bench.cells import Cell
from adapters.bench.protocols.learning import Part
from adapters.errors import RunError
from adapters.joining.joined_cache import JoinedCache
from adapters.joining.places import told
from adapters.show.tidy import tidy_files
from adapters.tasks.task import Task
from featcache.places.whole import make_folder, remove_partial_files, write_all, write_whole
from featcache.records import checked, parse_json, sealed, unsealed
from featcache.utc import now
from featcache.version import package_version

RESULTS = "results"
"""What the tables are called, but for their suffixes."""
SHOWN = "bench.json"
"""What a bench showed, for `adapters report`."""


@dataclass(frozen=True)
class Row:
    """One tidy row: a part of a cell. Accuracy and ECE are fractions; times are seconds.

    `params` are the hyper-parameters as asked for, `hyperparameters` as used after selection, both as JSON. `how` is a
    key of `adapters.bench.protocols.learning.HOW`. `key` is the cell's; the other names are those of `Part` and of a
    report. `labels_digest` is that of mended labels; empty: they are the data set's own. `joined`: which caches were
    joined with which weights; empty: it is one cache.
    """

    protocol: str
    part: str
    method: str
    shots: int
    seed: int
    select: str
    calibrate: bool
    dataset: str
    model: str
    pretrained: str
    cache: str
    cache_digest: str
    prompts: str
    test_cache: str
    test_digest: str
    classes: int
    rows: int
    accuracy: float
    ece: float
    ece_uncalibrated: float
    temperature: float
    seconds_fit: float
    seconds_predict: float
    parameters: int
    how: str
    note: str
    params: str
    hyperparameters: str
    version: str
    created: str
    key: str
    labels_digest: str = ""
    joined: str = ""


class Large(TypedDict):
    """What a cell's file holds beside a row; bits are packed, in base64."""

    reliability: dict[str, list[int | float]]
    test_rows: int
    tested: str
    correct: str


class CellFile(TypedDict):
    """A cell's file."""

    rows: list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Record:
    """A row with what is too large for a table.

    Attributes:
        row: the tidy row.
        reliability: rows, accuracy and confidence of 15 bins.
        tested: which rows (N,) of the test split belong to the part.
        correct: which of them were right, (tested.sum(),).
    """

    row: Row
    reliability: Mapping[str, list[float]]
    tested: npt.NDArray[np.bool_]
    correct: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, cell: Cell, part: Part, task: Task) -> Record:
        """A part of a cell that was just computed on a task."""
        identity, cache = cell.identity, cell.cache
        row = Row(
            protocol=identity["protocol"],
            part=part.name,
            method=cell.recipe.method,
            shots=cell.shots,
            seed=cell.seed,
            select=identity["select"],
            calibrate=identity["calibrate"],
            dataset=str(cache.dataset["name"]),
            model=str(cache.encoder["architecture"]),
            pretrained=str(cache.encoder["pretrained"]),
            cache=cache.name,
            cache_digest=cache.digest,
            prompts=identity["prompts"][0],
            test_cache=part.test_cache,
            test_digest=part.test_digest,
            classes=part.classes,
            rows=len(part.correct),
            accuracy=part.accuracy,
            ece=part.ece,
            ece_uncalibrated=part.ece_uncalibrated,
            temperature=part.temperature,
            seconds_fit=round(part.seconds_fit, 6),
            seconds_predict=round(part.seconds_predict, 6),
            parameters=part.parameters,
            how=part.how,
            note="; ".join((*part.notes, *task.notes)),
            params=json.dumps(identity["hyperparameters"], sort_keys=True),
            hyperparameters=json.dumps(part.hyperparameters, sort_keys=True),
            version=package_version(),
            created=now(timespec="milliseconds"),
            key=cell.key,
            labels_digest=cache.mended.digest if cache.mended else "",
            joined=told(task.cache.joined) if isinstance(task.cache, JoinedCache) else "",
        )
        return cls(row, part.reliability, part.tested, part.correct)

    def to_json(self) -> dict[str, Any]:
        """The record as a cell's file holds it."""
        bits = {"tested": _pack(self.tested), "correct": _pack(self.correct)}
        return {**asdict(self.row), "reliability": dict(self.reliability), "test_rows": len(self.tested), **bits}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Record:
        """The inverse of `to_json`."""
        row, rest = checked(content, Row), checked(content, Large)
        tested = _unpack(rest["tested"], rest["test_rows"])
        return cls(row, rest["reliability"], tested, _unpack(rest["correct"], row.rows))


class Store:
    """The folder of a bench, open for writing; get one from `opened`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cells = folder / "cells"
        make_folder(self._cells)
        for place in (folder, self._cells):
            remove_partial_files(place)
        self._found: dict[str, list[Record]] = {}
        for path in sorted(self._cells.glob("*.json")):
            self._found[path.stem] = _read(path)

    def __contains__(self, cell: Cell) -> bool:
        return cell.key in self._found

    def __getitem__(self, cell: Cell) -> list[Record]:
        return self._found[cell.key]

    def add(self, cell: Cell, records: list[Record]) -> None:
        """Keep a finished cell, whole or not at all."""
        content = {"identity": cell.identity, "rows": [record.to_json() for record in records]}
        text = json.dumps(sealed(content), ensure_ascii=False, allow_nan=False)
        write_whole(self._cells / f"{cell.key}.json", text.encode())
        self._found[cell.key] = records

    def write_tables(self) -> None:
        """Bring the three tables up to date with the cells."""
        records = sorted((r for cell in self._found.values() for r in cell), key=_order)
        rows = [asdict(record.row) for record in records]
        types = {field.name: str(field.type) for field in fields(Row)}
        full = [{**asdict(record.row), "reliability": dict(record.reliability)} for record in records]
        files = tidy_files(RESULTS, rows, list(types), types, {"rows": full})
        write_all({self.folder / name: content for name, content in files.items()})

    def write_shown(self, content: Mapping[str, Any]) -> None:
        """Keep what a bench showed, as JSON-able values."""
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_whole(self.folder / SHOWN, text.encode())


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """Hold a bench's folder for writing; it is made if need be.

    Raises:
        RunError: another bench writes there, or the folder cannot be written or read.
    """
    try:
        make_folder(folder)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(f"another bench is writing {folder}: wait for it, or give another --out") from error
    except OSError as error:
        raise RunError(f"cannot write {folder} ({error.strerror or error}): give another folder as --out") from error
    try:
        yield Store(folder)
    finally:
        lock.release()


def _order(record: Record) -> tuple[Any, ...]:
    row = record.row
    return row.protocol, row.select, row.cache, row.shots, row.method, row.seed, row.key


def _read(path: Path) -> list[Record]:
    try:
        return [Record.from_json(row) for row in checked(unsealed(parse_json(path.read_bytes())), CellFile)["rows"]]
    except ValueError as error:
        raise RunError(f"{path} is damaged ({error}): remove it, and the same bench computes it again") from error


def _pack(bits: npt.NDArray[np.bool_]) -> str:
    return base64.b64encode(np.packbits(bits).tobytes()).decode()


def _unpack(text: str, count: int) -> npt.NDArray[np.bool_]:
    packed = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    if len(packed) != -(-count // 8):
        raise ValueError(f"{len(packed)} bytes of bits, expected {count} bits")
    return np.unpackbits(packed, count=count).astype(bool)
