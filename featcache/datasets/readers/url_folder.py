"""A folder behind a URL: listed by one pass, read a request a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from featcache.datasets.readers.bounded import MOST_BYTES, check_size
from featcache.datasets.readers.image_files import ListedFiles, is_hidden
from featcache.datasets.readers.remote import file_system, listed, reached, shown


@dataclass(frozen=True)
class UrlFolder(ListedFiles):
    """Files below a URL; ids are paths relative to `url/prefix`.

    The listing is taken when it is first asked for, and is not pickled: workers read, and ask for none. Where the store
    cannot be reached, it is a DataError.
    """

    url: str
    prefix: str = ""
    most: int = MOST_BYTES
    _known: dict[str, Mapping[str, int]] = field(default_factory=dict, repr=False, compare=False)

    def read(self, image_id: str) -> bytes:
        """The file's bytes. Raises OSError or DataError where it cannot be read, with the reason."""
        with reached(self.location(image_id)):
            files, path = file_system(self.location(image_id))
            content: bytes = files.cat_file(path, start=0, end=self.most + 1)
        check_size(len(content), self.most)
        return content

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        """Bytes of each file as the listing has them, or, where none was taken, a request each; -1: there is none."""
        known = self._known.get(self.url)
        for image_id in ids:
            yield self._size(image_id) if known is None else known.get(self.prefix + image_id, -1)

    def under(self, path: str) -> UrlFolder:
        """The same for a folder further below."""
        return self if path == "." else replace(self, prefix=f"{self.prefix}{path}/")

    def missing(self, paths: Iterable[str]) -> list[str]:
        """Those that are no files."""
        known = self._listing()
        return [path for path in paths if self.prefix + path not in known]

    def open(self, path: str) -> BinaryIO:
        """A file, to be read piece by piece."""
        with listed(self.location(path)):
            files, place = file_system(self.location(path))
            opened: BinaryIO = files.open(place, "rb")
        return opened

    def location(self, path: str) -> str:
        """The URL of a file."""
        return f"{self.url}/{self.prefix}{path}"

    def _size(self, image_id: str) -> int:
        try:
            with reached(self.location(image_id)):
                files, path = file_system(self.location(image_id))
                return int(files.size(path) or 0)
        except FileNotFoundError:
            return -1

    def _listing(self) -> Mapping[str, int]:
        """Bytes of each file below `url`, by its path."""
        if self.url not in self._known:
            with listed(self.url):
                files, base = file_system(self.url)
                found = files.find(base, detail=True)
                if not found:  # over HTTP also where nothing can be reached
                    with suppress(FileNotFoundError), reached(self.url):
                        files.info(base)
            start = len(base.rstrip("/")) + 1
            sizes = {path: entry.get("size") for path, entry in found.items() if not path.endswith("/")}
            self._known[self.url] = {path[start:]: -1 if size is None else size for path, size in sizes.items()}
        return self._known[self.url]

    def _names(self) -> Iterator[str]:
        for path in self._listing():
            inner = path[len(self.prefix) :]
            if path.startswith(self.prefix) and inner and not is_hidden(inner):
                yield inner

    def __str__(self) -> str:
        return shown(f"{self.url}/{self.prefix}").rstrip("/")

    def __getstate__(self) -> tuple[str, str, int]:
        return self.url, self.prefix, self.most

    def __setstate__(self, state: tuple[str, str, int]) -> None:
        for name, value in zip(("url", "prefix", "most", "_known"), (*state, {}), strict=True):
            object.__setattr__(self, name, value)
