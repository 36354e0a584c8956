"""A zip archive on this machine."""

from __future__ import annotations

import lzma
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from featcache.datasets.readers.bounded import MOST_BYTES, check_size, read_all
from featcache.datasets.readers.image_files import ListedFiles, is_hidden, is_image, is_outside
from featcache.errors import DataError


@dataclass(frozen=True)
class ZipReader(ListedFiles):
    """Members of a zip archive below a prefix ("2750/" or ""); ids are relative to the prefix.

    The archive is opened on first use in each process: an open handle cannot be pickled, and one that is shared
    through a fork would have its file position moved by every process at once.
    """

    path: Path
    prefix: str = ""
    most: int = MOST_BYTES
    _open: dict[int, zipfile.ZipFile] = field(default_factory=dict, repr=False, compare=False)

    def read(self, image_id: str) -> bytes:
        """The member's bytes, checked against its CRC.

        Raises:
            DataError: The archive or the member is damaged, or is not there, or has more than `most` bytes.
        """
        try:
            check_size(self._archive().getinfo(self.prefix + image_id).file_size, self.most)  # as far as it says so
            with self._archive().open(self.prefix + image_id) as member:
                return read_all(member, self.most)  # type: ignore[arg-type]
        except KeyError:
            raise DataError(f"{self.path} has no member {self.prefix}{image_id}") from None
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
            raise DataError(f"{self.path}: cannot read member {self.prefix}{image_id}: {error}") from error

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        """Bytes of each member when unpacked; -1 where there is none."""
        known = {info.filename: info.file_size for info in self._archive().infolist()}
        for image_id in ids:
            yield known.get(self.prefix + image_id, -1)

    def outside(self) -> int:
        """How many images have names that lead out of the archive; they are not among its paths."""
        return sum(is_outside(name) and is_image(name) for name in self._archive().namelist())

    def under(self, path: str) -> ZipReader:
        """The same for a folder further below."""
        return self if path == "." else replace(self, prefix=f"{self.prefix}{path}/")

    def __str__(self) -> str:
        return f"{self.path}/{self.prefix}".rstrip("/")

    def __getstate__(self) -> tuple[Path, str, int]:
        return self.path, self.prefix, self.most

    def __setstate__(self, state: tuple[Path, str, int]) -> None:
        for name, value in zip(("path", "prefix", "most", "_open"), (*state, {}), strict=True):
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
                if not is_hidden(inner) and not is_outside(name):
                    yield inner
