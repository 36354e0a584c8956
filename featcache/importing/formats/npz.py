"""NumPy's `.npz`: a zip of arrays.

Those that `np.savez` wrote are mapped into memory where they lie. Those of `np.savez_compressed` are unpacked first,
to a file without a name that goes with the process.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from featcache.errors import DataError, in_a_line
from featcache.importing.formats.arrays import Arrays, Column, column_of, no_objects, with_facts
from featcache.importing.formats.npy import mapped, read_header

_LOCAL_HEADER = 30
"""Bytes before the name in the header of a zip's member; two of them tell the lengths of what follows."""


def recognises(path: Path) -> bool:
    """A file that ends so."""
    return path.is_file() and path.suffix.lower() == ".npz"


def open_npz(path: Path) -> Arrays:
    """The arrays of a file.

    Raises:
        DataError: It is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
            columns = {_name(member): _column(archive, member, path) for member in members}
            return with_facts(Arrays(path, columns))
    except (zipfile.BadZipFile, zlib.error, struct.error, ValueError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no .npz that can be read ({in_a_line(error)}): write it again") from error


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def _column(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Column:
    name = _name(member)
    if member.compress_type == zipfile.ZIP_STORED:
        with path.open("rb") as opened:
            opened.seek(member.header_offset)
            name_bytes, extra_bytes = struct.unpack("<HH", opened.read(_LOCAL_HEADER)[26:30])
        return mapped(name, path, member.header_offset + _LOCAL_HEADER + name_bytes + extra_bytes)
    with archive.open(member) as packed:
        shape, is_fortran, dtype = read_header(packed)
    if dtype.hasobject:
        return no_objects(name, path)

    def read(size: int) -> Iterator[np.ndarray]:
        yield from column_of(name, _unpacked(path, member, shape, is_fortran, dtype)).read(size)

    like = column_of(name, np.empty((0, *shape[1:]), dtype))
    return Column(name, shape or (1,), like.kind, like.dtype, read)


def _unpacked(
    path: Path, member: zipfile.ZipInfo, shape: tuple[int, ...], is_fortran: bool, dtype: np.dtype[np.generic]
) -> np.ndarray:
    """A compressed member, mapped from a file of its own."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as packed, tempfile.TemporaryFile() as file:
            read_header(packed)
            shutil.copyfileobj(packed, file)
            if 0 in shape:
                return np.empty(shape, dtype)
            file.flush()
            return np.memmap(file, dtype, "r", 0, shape, "F" if is_fortran else "C")
    except (zipfile.BadZipFile, zlib.error, ValueError) as error:
        message = f"{_name(member)} in {path} is damaged or cut ({in_a_line(error)}): write it again"
        raise DataError(message) from error
