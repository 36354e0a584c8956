"""A folder on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from featcache.datasets.readers.bounded import MOST_BYTES, opened_file, read_file
from featcache.datasets.readers.image_files import is_hidden
from featcache.errors import DataError


@dataclass(frozen=True)
class FolderReader:
    """Files below a folder; ids are paths relative to it, with forward slashes."""

    root: Path
    most: int = MOST_BYTES

    def read(self, image_id: str) -> bytes:
        """The file's bytes. Raises OSError or DataError where it cannot be read, see `read_file`."""
        return read_file(os.path.join(self.root, image_id), self.most)

    def opened(self, image_id: str) -> AbstractContextManager[BinaryIO]:
        """The file, open, to be read in part. Raises as `read`."""
        return opened_file(os.path.join(self.root, image_id), self.most)

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        """Bytes of each file; -1 where there is none."""
        root = str(self.root)
        for image_id in ids:
            try:
                yield os.stat(os.path.join(root, image_id)).st_size  # half of what pathlib takes
            except OSError:
                yield -1

    def written_since(self, ids: Iterable[str], moment: float) -> Iterator[bool]:
        """Of each file whether it was written after so many seconds of Unix time; of none where there is none."""
        root = str(self.root)
        for image_id in ids:
            try:
                yield os.stat(os.path.join(root, image_id)).st_mtime > moment
            except OSError:
                yield False

    def folders(self) -> list[str]:
        """Names of the folders right below, sorted, without hidden ones."""
        with os.scandir(self.root) as entries:
            return sorted(entry.name for entry in entries if is_folder(entry) and not is_hidden(entry.name))

    def has(self, path: str) -> bool:
        """Whether there is such a file or folder below ("." is this one)."""
        return (self.root / path).exists()

    def paths(self, folder: str = "") -> list[str]:
        """Every file below `folder`, however deep, sorted, without hidden files; links are followed."""
        return sorted(_walk(str(self.root / folder), f"{folder}/" if folder else "", ()))

    def under(self, path: str) -> FolderReader:
        """The same for a folder further below."""
        return FolderReader(self.root / path, self.most)

    def missing(self, paths: Iterable[str]) -> list[str]:
        """Those that are no files."""
        root = str(self.root)
        return [path for path in paths if not os.path.isfile(os.path.join(root, path))]

    def open(self, path: str) -> BinaryIO:
        """A file, to be read piece by piece."""
        return (self.root / path).open("rb")

    def location(self, path: str) -> str:
        """The path of a file on this machine."""
        return str(self.root / path)

    def __str__(self) -> str:
        return str(self.root)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder; a link that leads to itself is none, and is told as unreadable when it is read."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def followed(entry: os.DirEntry[str], above: Sequence[str]) -> Sequence[str]:
    """The real paths of the folders above those in `entry`, a folder: more where it is a link.

    Raises:
        DataError: It is a link to a folder above, in which it would be found again and again.
    """
    if not entry.is_symlink():
        return above
    target, here = os.path.realpath(entry.path), os.path.realpath(os.path.dirname(entry.path))
    if any(folder == target or folder.startswith(target.rstrip("/") + "/") for folder in (*above, here)):
        raise DataError(f"{entry.path} is a link to {target}, a folder that holds it: remove the link")
    return (*above, here, target)


def _walk(folder: str, prefix: str, above: Sequence[str]) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if is_folder(entry):
                yield from _walk(entry.path, f"{prefix}{entry.name}/", followed(entry, above))
            else:
                yield prefix + entry.name
