"""Image folders and zip archives, read in place. Each lists its files and reads one by its path."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from featcache.errors import DataError

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")


def is_image(path: str) -> bool:
    """Whether the file name ends as an image's does."""
    return path.lower().endswith(IMAGE_EXTENSIONS)


@dataclass(frozen=True)
class FolderReader:
    """Files below a folder; ids are paths relative to it, with forward slashes."""

    root: Path

    def read(self, image_id: str) -> bytes:
        """The file's bytes. Raises OSError where it cannot be read."""
        return (self.root / image_id).read_bytes()

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        """Bytes of each file; -1 where there is none."""
        root = str(self.root)
        for image_id in ids:
            try:
                yield os.stat(os.path.join(root, image_id)).st_size  # half of what pathlib takes
            except OSError:
                yield -1

    def folders(self) -> list[str]:
        """Names of the folders right below, sorted, without hidden ones."""
        return sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir() and not _hidden(entry.name))

    def has(self, path: str) -> bool:
        """Whether there is such a file or folder below ("." is this one)."""
        return (self.root / path).exists()

    def paths(self, folder: str = "") -> list[str]:
        """Every file below `folder`, however deep, sorted, without hidden files; links are followed."""
        return sorted(_walk(str(self.root / folder), f"{folder}/" if folder else ""))

    def under(self, path: str) -> FolderReader:
        """The same for a folder further below."""
        return FolderReader(self.root / path)

    def __str__(self) -> str:
        return str(self.root)


@dataclass(frozen=True)
class ZipReader:
    """Members of a zip archive below a prefix ("2750/" or ""); ids are relative to the prefix.

    The archive is opened on first use in each process: an open handle cannot be pickled, and one that is shared
    through a fork would have its file position moved by every process at once.
    """

    path: Path
    prefix: str = ""
    _open: dict[int, zipfile.ZipFile] = field(default_factory=dict, init=False, repr=False, compare=False)

    def read(self, image_id: str) -> bytes:
        """The member's bytes, checked against its CRC.

        Raises:
            DataError: The archive or the member is damaged, or is not there.
        """
        try:
            return self._archive().read(self.prefix + image_id)
        except KeyError:
            raise DataError(f"{self.path} has no member {self.prefix}{image_id}") from None
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise DataError(f"{self.path}: cannot read member {self.prefix}{image_id}: {error}") from error

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        """Bytes of each member when unpacked; -1 where there is none."""
        known = {info.filename: info.file_size for info in self._archive().infolist()}
        for image_id in ids:
            yield known.get(self.prefix + image_id, -1)

    def folders(self) -> list[str]:
        """Names of the folders right below the prefix, sorted, without hidden ones."""
        return sorted({name.split("/", 1)[0] for name in self._names() if "/" in name})

    def has(self, path: str) -> bool:
        """Whether there is such a member, or any in such a folder ("." is this one)."""
        return path == "." or any(name == path or name.startswith(f"{path}/") for name in self._names())

    def paths(self, folder: str = "") -> list[str]:
        """Every member below `folder`, sorted, without hidden ones."""
        start = f"{folder}/" if folder else ""
        return sorted(name for name in self._names() if name.startswith(start))

    def under(self, path: str) -> ZipReader:
        """The same for a folder further below."""
        reader = ZipReader(self.path, self.prefix if path == "." else f"{self.prefix}{path}/")
        reader._open.update(self._open)
        return reader

    def __str__(self) -> str:
        return f"{self.path}/{self.prefix}".rstrip("/")

    def __getstate__(self) -> tuple[Path, str]:
        return self.path, self.prefix

    def __setstate__(self, state: tuple[Path, str]) -> None:
        for name, value in zip(("path", "prefix", "_open"), (*state, {}), strict=True):
            object.__setattr__(self, name, value)

    def _archive(self) -> zipfile.ZipFile:
        process = os.getpid()
        if process not in self._open:
            try:
                self._open[process] = zipfile.ZipFile(self.path)
            except zipfile.BadZipFile as error:
                raise DataError(f"{self.path} is not a readable zip archive ({error}): download it again") from error
        return self._open[process]

    def _names(self) -> Iterator[str]:
        for name in self._archive().namelist():
            if name.startswith(self.prefix) and not name.endswith("/"):
                inner = name[len(self.prefix) :]
                if not any(_hidden(part) for part in inner.split("/")):
                    yield inner


ImageFiles = FolderReader | ZipReader


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _walk(folder: str, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if _hidden(entry.name):
                continue
            if entry.is_dir():
                yield from _walk(entry.path, f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name
