"""A folder on this machine or behind a URL, with atomic JSON files and one Zarr group."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import zarr

from featcache.errors import CacheError, in_a_line
from featcache.places.disk import Disk
from featcache.records import Malformed, parse_json

if TYPE_CHECKING:
    from featcache.places.bucket import Bucket

STORES = ("s3", "gs", "az")
"""Schemes of URLs, and the extra that each needs."""
_URL = re.compile(r"^[a-z][a-z0-9+.-]+://")
_ALMOST = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
_FILE = "file://"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def is_url(location: str) -> bool:
    """Whether `location` names something behind a URL such as `s3://bucket/prefix`; `file://` is this machine."""
    return bool(_URL.match(location)) and not location.startswith(_FILE)


def absolute(location: str) -> str:
    """A folder by its absolute path, for whoever reads that elsewhere; a URL as it is."""
    return location if is_url(location) else str(Path(location).resolve())


def check_url(location: str) -> None:
    """Refuse a URL that holds a secret, without repeating it, or that is of no store that is known.

    Raises:
        CacheError: It has a part before an `@` or after a `?`, another scheme, or no bucket.
    """
    if not is_url(location) or not location.partition("://")[2].partition("/")[0]:
        raise CacheError(f"{location} is neither a folder nor a URL; a URL is like s3://bucket/prefix, all small")
    scheme, _, path = location.partition("://")
    if "@" in path.partition("/")[0] or "?" in path:
        message = f"the {scheme}:// URL given holds credentials or a query, which would end up in logs; give "
        raise CacheError(message + f"{scheme}://bucket/prefix, and credentials by the environment")
    if scheme not in STORES:
        known = ", ".join(f"{store}://bucket/prefix" for store in STORES)
        raise CacheError(f"{location} is of no known store; give a folder, or a URL: {known}")


def like_url(location: str) -> bool:
    """Whether it begins as a URL does, though it may be mistyped: a folder of such a name is `./name`."""
    return bool(_ALMOST.match(location)) and not location.startswith(_FILE)


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
        location: A path, or a URL such as `s3://bucket/prefix` (`pip install featcache[s3]`).

    Raises:
        CacheError: It is a URL that cannot be used.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self.remote = is_url(location)
        self._place = _bucket(location) if self.remote else Disk(local_path(location))

    def __repr__(self) -> str:
        return f"Folder({self.location!r})"

    def __reduce__(self) -> tuple[type[Folder], tuple[str]]:
        """Elsewhere it is opened anew, with the credentials that are there."""
        return Folder, (self.location,)

    def path(self, name: str) -> Path:
        """Where `name` is on this machine's disk."""
        assert isinstance(self._place, Disk)
        return self._place.path(name)

    def exists(self, name: str) -> bool:
        """Whether there is a file called `name`."""
        return self._place.exists(name)

    def names(self, subfolder: str = "") -> list[str]:
        """The names in this folder or in a subfolder, sorted; none if there is no such folder."""
        return sorted(self._place.names(subfolder))

    def files(self, subfolder: str = "") -> list[str]:
        """The files in this folder or in a subfolder and below, sorted, by their names from this folder on."""
        return sorted(self._place.files(subfolder))

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: There is no such file.
        """
        return self._place.read(name)

    def write(self, name: str, content: bytes) -> None:
        """Write a file so that a reader sees all of it or nothing, also after a crash."""
        self._place.write(name, content)

    def read_json(self, name: str) -> Any:
        """The content of a JSON file.

        Raises:
            FileNotFoundError: There is no such file.
            CacheError: It is not JSON.
        """
        content = self.read(name)
        try:
            return parse_json(content)
        except Malformed as error:
            raise CacheError(f"{join(self.location, name)} is damaged: {error}") from error

    def find_json(self, name: str) -> Any:
        """The content of a JSON file, or None if there is none.

        Raises:
            CacheError: It is not JSON.
        """
        try:
            return self.read_json(name)
        except FileNotFoundError:
            return None

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file, as `write` does."""
        self.write(name, _json(content))

    def create_json(self, name: str, content: Any) -> bool:
        """Write a JSON file behind a URL if there is none of that name; returns whether there was none.

        Of two that ask together one is told so; their contents must differ.
        """
        assert not isinstance(self._place, Disk)
        return self._place.create(name, _json(content))

    def remove(self, *names: str) -> None:
        """Remove files; nothing happens where there is none."""
        self._place.remove(names)

    def remove_folder(self, name: str) -> None:
        """Remove a subfolder with all that is in it; nothing happens if there is none."""
        self._place.remove_folder(name)

    def remove_itself(self) -> None:
        """Remove this folder on a disk in one step: it is there, or it is not."""
        assert isinstance(self._place, Disk)
        self._place.remove_itself()

    def remove_partial_folders(self) -> None:
        """Delete what a removal on a disk that was killed left in this folder."""
        assert isinstance(self._place, Disk)
        self._place.remove_partial_folders()

    def remove_partial_files(self) -> None:
        """Remove what writers that were killed left behind under temporary names."""
        self._place.remove_partial_files()

    def group(self, mode: Literal["r", "a"], *, finished: bool = False) -> zarr.Group:
        """The Zarr group.

        Args:
            mode: "r" to read, "a" to read and write, made if missing.
            finished: Take the arrays' metadata from the group's own, in one request, where it was written there.
                While a run is writing this would show a view of the past.

        Raises:
            CacheError: Its metadata is damaged, or there is none.
        """
        if not __debug__:
            message = "Python runs without assertions, by which Zarr reads its files: leave -O and PYTHONOPTIMIZE out"
            raise CacheError(message)
        consolidated = None if finished else False
        try:
            return zarr.open_group(
                self._place.arrays(read_only=mode == "r"), mode=mode, zarr_format=3, use_consolidated=consolidated
            )
        except (ArithmeticError, AttributeError, FileNotFoundError, KeyError, TypeError, ValueError) as error:
            reason = in_a_line(error) or type(error).__name__
            message = f"the metadata of the arrays in {self.location} is damaged ({reason}); "
            raise CacheError(message + f"type `featcache verify {self.location} --repair`") from error

    def consolidate(self) -> None:
        """Write all arrays' metadata into the group's own as well.

        Readers then ask for one object, and those of other programs do not look at what here is no array.
        """
        with warnings.catch_warnings():
            # Zarr remarks that consolidated metadata is no part of the specification, and that JSON is no array.
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(self._place.arrays(read_only=False), zarr_format=3)


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _bucket(location: str) -> Bucket:
    check_url(location)
    try:
        from featcache.places.bucket import Bucket
    except ImportError as error:
        extra = location.partition("://")[0]
        raise CacheError(f"{location}: {error}. For {extra}:// type `pip install 'featcache[{extra}]'`") from error
    return Bucket(location)
