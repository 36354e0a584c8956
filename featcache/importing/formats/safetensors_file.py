"""Safetensors: tensors and a few words about them. The tensors are mapped into memory; bfloat16 is widened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from featcache.errors import DataError, in_a_line
from featcache.importing.formats.arrays import NUMBERS, Arrays, Column, column_of, no_objects

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}
BFLOAT16 = "BF16"


def recognises(path: Path) -> bool:
    """A file that ends so."""
    return path.is_file() and path.suffix.lower() == ".safetensors"


def open_safetensors(path: Path) -> Arrays:
    """The tensors of a file.

    Raises:
        DataError: It is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as opened:  # checks that what the header says fits the file
            facts = dict(opened.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path} is no safetensors file that can be read ({in_a_line(error)}): write it again"
        ) from error
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    start = 8 + length
    header.pop("__metadata__", None)
    return Arrays(path, {name: _column(path, name, start, **about) for name, about in header.items()}, facts)


def _column(path: Path, name: str, start: int, dtype: str, shape: list[int], data_offsets: list[int]) -> Column:
    place, form = start + data_offsets[0], tuple(shape)
    if dtype != BFLOAT16 and dtype not in _DTYPES:
        return no_objects(name, path)
    stored = np.dtype("<u2" if dtype == BFLOAT16 else _DTYPES[dtype])
    array = np.empty(form, stored) if 0 in form else np.memmap(path, stored, "r", place, form)
    column = column_of(name, array)
    if dtype != BFLOAT16:
        return column

    def widened(size: int) -> Iterator[np.ndarray]:
        for block in column.read(size):  # the upper half of a float32
            yield (block.astype(np.uint32) << 16).view(np.float32)

    return Column(name, column.shape, NUMBERS, "bfloat16", widened)
