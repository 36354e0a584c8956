"""A folder on this machine or behind a URL, with atomic JSON files and one Zarr group."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import zarr

from featcache.errors import CacheError
from featcache.places.whole import PARTIAL, write_whole

_URL = re.compile(r"^[a-z][a-z0-9+.-]+://")
_FILE = "file://"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def is_url(location: str) -> bool:
    """Whether `location` names something behind a URL such as `s3://bucket/prefix`; `file://` is this machine."""
    return bool(_URL.match(location)) and not location.startswith(_FILE)


def local_path(location: str | Path) -> Path:
    """A location on this machine as a path: `~` expanded, `file://` taken off."""
    return Path(str(location).removeprefix(_FILE)).expanduser()


def check_name(name: str, what: str) -> None:
    """Refuse a name that could leave its folder.

    Raises:
        CacheError: It is empty or has other characters than letters, digits, dot, dash and underscore.
    """
    if not _NAME.fullmatch(name):
        message = f"{what} is {name!r}; expected letters, digits, dots, dashes and underscores, "
        raise CacheError(message + "beginning with a letter or digit: give another with --name")


def array_in(group: zarr.Group, *names: str) -> zarr.Array[Any]:
    """The array at `names` below a group.

    Raises:
        KeyError: There is none.
    """
    array = group["/".join(names)]
    assert isinstance(array, zarr.Array)
    return array


def join(location: str, *parts: str) -> str:
    """`location/part/part`, for paths and URLs alike."""
    return "/".join([location.rstrip("/"), *parts]) if is_url(location) else str(Path(location, *parts))


class Folder:
    """Where one cache lives.

    Args:
        location: A path, or a URL that fsspec knows (`s3://…` needs `pip install featcache[s3]`).
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self.remote = is_url(location)
        try:
            self._fs, self._base = fsspec.core.url_to_fs(location)
        except ImportError as error:
            message = f"{location}: {error}. For s3:// type `pip install 'featcache[s3]'`"
            raise CacheError(message) from error
        except ValueError as error:
            raise CacheError(f"{location}: {error}; give a folder or a URL such as s3://bucket/prefix") from error

    def __repr__(self) -> str:
        return f"Folder({self.location!r})"

    def __reduce__(self) -> tuple[type[Folder], tuple[str]]:
        """Elsewhere it is opened anew, with the credentials that are there."""
        return Folder, (self.location,)

    def path(self, name: str) -> str:
        """Where `name` is, in the file system's own terms."""
        return f"{self._base}/{name}"

    def exists(self, name: str) -> bool:
        """Whether there is a file or folder called `name`."""
        with self._reached():
            return bool(self._fs.exists(self.path(name)))

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Say in a line that a store does not let anybody in, whatever its library raises for it."""
        try:
            yield
        except Exception as error:
            if not self.remote:
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            message = f"{self.location} cannot be reached: {reason}; "
            raise CacheError(message + "check the credentials, the region, and that there is such a bucket") from error

    def names(self, subfolder: str = "") -> list[str]:
        """The names in this folder or in a subfolder, sorted; none if there is no such folder."""
        where = self.path(subfolder) if subfolder else self._base
        with self._reached():
            there = self._fs.isdir(where)
        if not there:
            return []
        self._fs.invalidate_cache()
        return sorted(str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in self._fs.ls(where, detail=False))

    def read_json(self, name: str) -> Any:
        """The content of a JSON file.

        Raises:
            FileNotFoundError: There is no such file.
            CacheError: It is not JSON.
        """
        text = self._fs.cat_file(self.path(name))
        try:
            return json.loads(text)
        except ValueError as error:
            raise CacheError(f"{self.path(name)} is not valid JSON ({error}); the cache is damaged") from error

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file so that a reader sees all of it or nothing, also after a crash."""
        data = (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
        if self.remote:
            self._fs.pipe_file(self.path(name), data)
            return
        target = Path(self.path(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, data)

    def create_json(self, name: str, content: Any) -> bool:
        """Write a JSON file behind a URL if there is none of that name; returns whether there was none.

        The store decides, so that of two that ask together one is told so.
        """
        data = (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
        try:
            self._fs.pipe_file(self.path(name), data, mode="create")
        except FileExistsError:
            return False
        return True

    def remove(self, name: str) -> None:
        """Remove a file or a subfolder with all that is in it; nothing happens if there is none."""
        if self.exists(name):
            self._fs.rm(self.path(name), recursive=True)
            self._fs.invalidate_cache()

    def remove_partial_files(self) -> None:
        """Remove what writers that were killed left behind under temporary names."""
        if not self.remote:
            for leftover in Path(self._base).rglob(f"*{PARTIAL}"):
                leftover.unlink(missing_ok=True)

    def group(self, mode: str) -> zarr.Group:
        """The Zarr group: `mode` is "r" to read, "a" to read and write, made if missing.

        `use_consolidated=False`: consolidated metadata would show a view of the past while a run is writing.
        """
        location = self.location if self.remote else self._base
        if mode == "r":
            return zarr.open_group(location, mode="r", use_consolidated=False)
        return zarr.open_group(location, mode="a", use_consolidated=False)

    def consolidate(self) -> None:
        """Write all arrays' metadata into the group's own as well.

        Readers of other programs then ask for one object, and do not look at what here is no array.
        """
        with warnings.catch_warnings():
            # Zarr remarks that consolidated metadata is no part of the specification, and that JSON is no array.
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(self.location if self.remote else self._base)
