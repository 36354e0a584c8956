"""Files by their paths, wherever they lie: what class folders and split files are listed from."""

from __future__ import annotations

import posixpath
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from typing import Protocol, Self

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif", ".avif")
HEIF_EXTENSIONS = (".heic", ".heif")
"""Images of phones, which `pillow-heif` reads where it is installed."""


@cache
def reads_heif() -> bool:
    """Whether `pillow-heif` is installed."""
    return find_spec("pillow_heif") is not None


def is_image(path: str) -> bool:
    """Whether the file name ends as that of an image does that can be read here."""
    lower = path.lower()
    return lower.endswith(IMAGE_EXTENSIONS) or (lower.endswith(HEIF_EXTENSIONS) and reads_heif())


def extension_of(path: str) -> str:
    """How a file's name ends, with the dot and in small letters; empty where it has no ending."""
    return posixpath.splitext(path)[1].lower()


def is_outside(path: str) -> bool:
    """Whether a path in an archive leads out of it: it is absolute, or goes up."""
    return path.startswith("/") or ".." in path.split("/")


def is_hidden(path: str) -> bool:
    """Whether a part of the path is hidden, or what a Mac adds to archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))


class ImageFiles(Protocol):
    """Files below a place; ids are paths relative to it, with forward slashes. `str()` of it names the place."""

    def read(self, image_id: str) -> bytes:
        """The file's bytes. Raises OSError or DataError where it cannot be read."""
        ...

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        """Bytes of each file; -1 where there is none."""
        ...

    def folders(self) -> list[str]:
        """Names of the folders right below, sorted, without hidden ones."""
        ...

    def has(self, path: str) -> bool:
        """Whether there is such a file or folder below ("." is this one)."""
        ...

    def paths(self, folder: str = "") -> list[str]:
        """Every file below `folder`, however deep, sorted, without hidden ones."""
        ...

    def under(self, path: str) -> Self:
        """The same for a folder further below."""
        ...


class ListedFiles(ABC):
    """The folders that a list of paths makes."""

    @abstractmethod
    def _names(self) -> Iterable[str]:
        """The path of every file, without hidden ones."""

    def folders(self) -> list[str]:
        """Names of the folders right below, sorted, without hidden ones."""
        return sorted({name.split("/", 1)[0] for name in self._names() if "/" in name})

    def has(self, path: str) -> bool:
        """Whether there is such a file, or any in such a folder ("." is this one)."""
        return path == "." or any(name == path or name.startswith(f"{path}/") for name in self._names())

    def paths(self, folder: str = "") -> list[str]:
        """Every file below `folder`, sorted, without hidden ones."""
        start = f"{folder}/" if folder else ""
        return sorted(name for name in self._names() if name.startswith(start))
