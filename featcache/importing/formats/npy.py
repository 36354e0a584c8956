"""NumPy's `.npy`: one array a file, mapped into memory and never unpickled; and folders of them, with lists of names.

A `.txt` beside them is a list, one word a line: of class names, of labels, of ids.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from featcache.errors import DataError, in_a_line
from featcache.importing.formats.arrays import Arrays, Column, column_of, no_objects

LISTS = ".txt"

_HEADERS: dict[tuple[int, int], Callable[[IO[bytes]], tuple[tuple[int, ...], bool, Any]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def recognises(path: Path) -> bool:
    """An `.npy` file, or a folder with some."""
    return path.suffix.lower() == ".npy" if path.is_file() else any(path.glob("*.npy"))


def open_npy(path: Path) -> Arrays:
    """The arrays of a file or of a folder, by the names of their files.

    Raises:
        DataError: One of them is damaged.
    """
    files = (
        sorted(each for each in path.iterdir() if each.suffix.lower() in (".npy", LISTS)) if path.is_dir() else [path]
    )
    return Arrays(path, {file.stem: read_column(file) for file in files})


def read_column(file: Path) -> Column:
    """The array of an `.npy` file, or the lines of a list.

    Raises:
        DataError: It is damaged, or not UTF-8.
    """
    if file.suffix.lower() == LISTS:
        try:
            lines = file.read_text("utf-8-sig").rstrip().splitlines()
        except UnicodeDecodeError as error:
            raise DataError(f"{file} is not text in UTF-8 ({in_a_line(error)}): save it as that") from error
        return column_of(file.stem, np.array([line.strip() for line in lines]))
    return mapped(file.stem, file)


def mapped(name: str, file: Path, start: int = 0) -> Column:
    """The array that begins there in a file.

    Raises:
        DataError: It is damaged.
    """
    try:
        with file.open("rb") as opened:
            opened.seek(start)
            shape, is_fortran, dtype = read_header(opened)
            place = opened.tell()
        if dtype.hasobject:
            return no_objects(name, file)
        if 0 in shape:
            return column_of(name, np.empty(shape, dtype))
        order = "F" if is_fortran else "C"
        return column_of(name, np.memmap(file, dtype, "r", place, shape, order))  # type: ignore[call-overload]
    except ValueError as error:
        raise DataError(f"{name} in {file} is damaged or cut ({in_a_line(error)}): write it again") from error


def read_header(opened: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first index runs fastest, and type of an array whose file is read from here on.

    Raises:
        ValueError: It is no array of NumPy's.
    """
    version = np.lib.format.read_magic(opened)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the format")
    return _HEADERS[version](opened)
