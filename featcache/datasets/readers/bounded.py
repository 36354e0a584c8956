"""Reading no more than a bound, and nothing that is no file: what lies among images may be anything."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO, TypeVar

from featcache.errors import DataError

R = TypeVar("R")

MOST_BYTES = 256 * 2**20
"""Of an image's file, unless somebody asks for more."""

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def check_size(size: int, most: int) -> None:
    """Refuse a file of so many bytes.

    Raises:
        DataError: They are more than `most`.
    """
    if size > most:
        raise too_large(most)


def too_large(most: int) -> DataError:
    """The error for a file of more than `most` bytes."""
    return DataError(f"has more than {most:,} bytes: give a larger --max-bytes if it is an image")


@contextmanager
def opened_file(path: str, most: int) -> Iterator[BinaryIO]:
    """A file, open. Nothing that is no regular file is waited for.

    Raises:
        DataError: It is no regular file, or has more than `most` bytes.
        OSError: It cannot be opened.
    """
    # A pipe would be waited for until somebody opens its other end.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"is {_KINDS.get(stat.S_IFMT(found.st_mode), 'something else')} and no file")
        check_size(found.st_size, most)
        yield file


def read_file(path: str, most: int) -> bytes:
    """A file's bytes. Raises as `opened_file`, and OSError where it cannot be read."""
    with opened_file(path, most) as file:
        return read_all(file, most)


def read_all(file: BinaryIO, most: int) -> bytes:
    """What is left of an open file, which may unpack to more than it says.

    Raises:
        DataError: It is more than `most` bytes.
    """
    content = file.read(most + 1)
    if len(content) > most:
        raise too_large(most)
    return content


def with_most(reader: R, most: int) -> R:
    """The same reader with another bound; one that reads no files has none."""
    if not hasattr(reader, "most"):
        return reader
    return replace(reader, most=most)  # type: ignore[type-var]
