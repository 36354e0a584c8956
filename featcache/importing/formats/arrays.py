"""What a file of arrays holds: named arrays that are read a block of rows at a time, however many rows there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from featcache.errors import DataError, in_a_line

BLOCK = 16_384
"""Rows that are read together."""
NUMBERS, TEXT, OBJECTS = "numbers", "text", "objects"
"""Kinds of arrays: numbers; text; and what is none of these, such as pickled Python objects."""

_KINDS = {"f": NUMBERS, "i": NUMBERS, "u": NUMBERS, "b": NUMBERS, "U": TEXT, "S": TEXT}


@dataclass(frozen=True, eq=False)
class Column:
    """One array, which may be larger than the memory.

    Attributes:
        name: What the file calls it.
        shape: (N, …).
        kind: `NUMBERS`, `TEXT` or `OBJECTS`.
        dtype: The type of a number, such as `float16`, as messages call it; of others what they are.
        read: All rows in order, in arrays (B, …) of at most that many rows; of text (B,) byte strings in UTF-8. Raises
            DataError where the file is damaged.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    dtype: str
    read: Callable[[int], Iterator[np.ndarray]]

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    @property
    def is_float(self) -> bool:
        """Whether its numbers may have a fraction."""
        return self.kind == NUMBERS and self.dtype.startswith(("float", "bfloat"))

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows, `BLOCK` at a time."""
        return self.read(BLOCK)

    def whole(self) -> np.ndarray:
        """All of it: of labels, of text, of what is small."""
        blocks = list(self.read(BLOCK))
        return np.concatenate(blocks) if blocks else np.zeros(self.shape)

    def words(self) -> list[str]:
        """All of a text as strings.

        Raises:
            DataError: It is not UTF-8.
        """
        try:
            return [word.decode() for word in self.whole().ravel().tolist()]
        except UnicodeDecodeError as error:
            raise DataError(f"{self.name} is not text in UTF-8 ({in_a_line(error)}): write it again") from error


@dataclass(frozen=True)
class Arrays:
    """What a file or folder of arrays holds.

    Attributes:
        where: What messages call it.
        columns: Arrays by name.
        facts: What it says of itself beside, by name: text, often JSON.
    """

    where: Path
    columns: Mapping[str, Column]
    facts: Mapping[str, str] = field(default_factory=dict)


def column_of(name: str, array: np.ndarray) -> Column:
    """An array of NumPy's, in memory or mapped into it.

    Args:
        name: What the file calls it.
        array: (N, …); one without rows (`()`) becomes one row.
    """
    rows = array.reshape(1) if array.ndim == 0 else array
    kind = _KINDS.get(array.dtype.kind, OBJECTS)

    def read(size: int) -> Iterator[np.ndarray]:
        for start in range(0, len(rows), size):
            block = np.asarray(rows[start : start + size])
            yield np.char.encode(block, "utf-8") if block.dtype.kind == "U" else block

    return Column(name, rows.shape, kind, "text" if kind == TEXT else array.dtype.name, read)


def with_facts(arrays: Arrays) -> Arrays:
    """The same, with arrays of one word taken for facts: a format that has nothing but arrays keeps them so."""
    facts = {
        name: column.words()[0] for name, column in arrays.columns.items() if column.kind == TEXT and len(column) == 1
    }
    columns = {name: column for name, column in arrays.columns.items() if name not in facts}
    return Arrays(arrays.where, columns, {**arrays.facts, **facts})


def no_objects(name: str, where: Path) -> Column:
    """An array of Python objects, which only pickle could read: it is listed, and refused when it is asked for."""

    def read(size: int) -> Iterator[np.ndarray]:
        raise DataError(
            f"{name} in {where} is an array of Python objects, which only pickle reads, and that runs what is in the "
            f"file: save it as text or numbers, np.savez(…, {name}=np.array({name}.tolist()))"
        )

    return Column(name, (0,), OBJECTS, "objects", read)


def joined(name: str, parts: Sequence[Column], where: Path) -> Column:
    """Arrays one below the other; floats of several widths as float32, so that none loses what another lacks.

    Raises:
        DataError: They have rows of different shapes or kinds.
    """
    first = parts[0]
    for part in parts:
        if part.kind != first.kind or part.shape[1:] != first.shape[1:]:
            raise DataError(
                f"{where}: {name} has rows of {shape_of(first)} in its first file and of {shape_of(part)} in another: "
                "give a folder of one kind"
            )

    widened = first.is_float and any(part.dtype != first.dtype for part in parts)

    def read(size: int) -> Iterator[np.ndarray]:
        for part in parts:
            for block in part.read(size):
                yield block.astype(np.float32) if widened else block

    dtype = "float32" if widened else first.dtype
    return Column(name, (sum(map(len, parts)), *first.shape[1:]), first.kind, dtype, read)


def shape_of(column: Column) -> str:
    """Shape and type in words: `(5,000, 512) float16`."""
    sizes = ", ".join(f"{size:,}" for size in column.shape)
    return f"({sizes}{',' * (len(column.shape) == 1)}) {column.dtype}"
