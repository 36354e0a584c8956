"""Tar archives, local or behind URLs: members are found by reading headers, and read by where they lie."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from featcache.datasets.readers.ahead import BLOCK, ReadAhead
from featcache.datasets.readers.bounded import MOST_BYTES, check_size
from featcache.datasets.readers.image_files import ListedFiles, is_hidden, is_outside
from featcache.datasets.readers.remote import file_system, listed, shown
from featcache.errors import DataError
from featcache.places.folder import is_url


class Member(NamedTuple):
    """A file in a tar: its path, where its bytes begin, how many they are, and how to get them while scanning."""

    path: str
    start: int
    size: int
    content: Callable[[], bytes]


def scan(location: str) -> Iterator[Member]:
    """Every file of a tar in its order, by reading headers and passing over what lies between.

    Hidden ones are left out, those whose names lead out of the tar are not.

    Raises:
        DataError: The tar is damaged or ends too early, or cannot be read.
        OSError: There is no such file on this machine.
    """
    with listed(location) if is_url(location) else nullcontext(), _open(location) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                yield from _members(tar, file)
                # A damaged header is to `tarfile` as the end. The end is a block of zeros.
                file.seek(tar.offset)
                if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise tarfile.ReadError(f"damaged or cut off at byte {tar.offset}")
        except tarfile.TarError as error:
            raise DataError(f"{shown(location)} is not a readable tar ({error}): download it again") from error


def _open(location: str) -> BinaryIO:
    if not is_url(location):
        return open(location, "rb")
    files, path = file_system(location)
    opened: BinaryIO = files.open(path, "rb", block_size=BLOCK, cache_type="readahead")
    return opened


def _members(tar: tarfile.TarFile, file: BinaryIO) -> Iterator[Member]:
    while (info := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # the archive would remember all of them
        path = info.name.removeprefix("./").lstrip("/")  # as tar itself unpacks
        if info.isreg() and not info.issparse() and (is_outside(path) or not is_hidden(path)):
            yield Member(path, info.offset_data, info.size, partial(_content, file, info.offset_data, info.size))


def _content(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


@dataclass(frozen=True, eq=False)
class TarReader(ListedFiles):
    """Members of tars; an id is what the member was called when the reader was made.

    Attributes:
        where: What all the tars together are called.
        tars: (T,) paths or URLs.
        names: (M,) bytes, sorted: the ids, in UTF-8.
        places: (M, 3) int64: which tar, where the member begins in it, how many bytes it has.
        prefix: Of the ids that are below this folder ("train/" or "").
        most: Bytes of an image.
    """

    where: str
    tars: tuple[str, ...]
    names: npt.NDArray[np.bytes_]
    places: npt.NDArray[np.int64]
    prefix: str = ""
    most: int = MOST_BYTES
    _ahead: ReadAhead = field(default_factory=ReadAhead, repr=False)

    @classmethod
    def of(cls, where: str, tars: Sequence[str], members: Iterable[tuple[str, int, int, int]]) -> TarReader:
        """A reader of members that were found: (id, tar, start, size) each."""
        found = list(members)
        names = np.array([name.encode("utf-8", "surrogateescape") for name, *_ in found], dtype=np.bytes_)
        order = np.argsort(names)
        places = np.array([place for _, *place in found], dtype=np.int64).reshape(-1, 3)
        return cls(where, tuple(tars), names[order], places[order])

    def read(self, image_id: str) -> bytes:
        """The member's bytes.

        Raises:
            DataError: There is no such member, the tar ends too early, or it has more than `most` bytes.
            OSError: The tar cannot be read.
        """
        row = self._row(image_id)
        if row is None:
            raise DataError(f"{self} has no member {image_id}")
        tar, start, size = self.places[row].tolist()
        check_size(size, self.most)
        return self._ahead.read(self.tars[tar], start, size)

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        """Bytes of each member; -1 where there is none, or no such tar on this machine."""
        there: dict[int, bool] = {}
        for image_id in ids:
            row = self._row(image_id)
            tar, _, size = (-1, 0, -1) if row is None else self.places[row].tolist()
            if tar not in there:
                there[tar] = tar >= 0 and (is_url(self.tars[tar]) or os.path.exists(self.tars[tar]))
            yield size if there[tar] else -1

    def under(self, path: str) -> TarReader:
        """The same for a folder further below."""
        return self if path == "." else replace(self, prefix=f"{self.prefix}{path}/")

    def _row(self, image_id: str) -> int | None:
        name = (self.prefix + image_id).encode("utf-8", "surrogateescape")
        if len(name) > self.names.itemsize:  # NumPy would copy all names to compare them with a longer one
            return None
        row = int(np.searchsorted(self.names, name))
        return row if row < len(self.names) and self.names[row] == name else None

    def _names(self) -> Iterator[str]:
        for name in self.names.tolist():
            path = name.decode("utf-8", "surrogateescape")
            if path.startswith(self.prefix):
                yield path[len(self.prefix) :]

    def __str__(self) -> str:
        return f"{self.where}/{self.prefix}".rstrip("/")
