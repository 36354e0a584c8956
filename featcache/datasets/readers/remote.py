"""Files behind URLs, through fsspec: one file system a process, errors in a line and without secrets."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from featcache.errors import DataError, in_a_line
from featcache.places.folder import is_url

_SECRETS = re.compile(r"""(?<=://)[^\s/@]+(?=@)|(?<=\?)[^\s'"]+""")
"""User and password in a URL, and its query."""


def file_system(url: str) -> tuple[Any, str]:
    """This process's fsspec file system for a URL, and the URL's path in it.

    A file system's connections and its loop do not survive a fork, so that each process makes its own.

    Raises:
        DataError: The library for such URLs is not installed, or there are no such URLs.
    """
    parts = urlsplit(url)
    found = _connected(f"{parts.scheme}://{parts.netloc}", os.getpid())
    return found, found._strip_protocol(url)


@functools.lru_cache(maxsize=16)
def _connected(server: str, process: int) -> Any:
    import fsspec

    try:
        return fsspec.core.url_to_fs(server, skip_instance_cache=True)[0]
    except ImportError as error:
        typed = ": type `pip install 'featcache[s3]'`" if server.startswith("s3:") else ""
        raise DataError(f"{shown(server)}: {error}{typed}") from error
    except ValueError as error:
        raise DataError(f"{shown(server)}: {error}; give a URL such as s3://bucket/prefix") from error


def shown(url: str) -> str:
    """A location to be shown and kept: a URL without user, password and query; a path as it is."""
    if not is_url(url):
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@contextmanager
def reached(url: str) -> Iterator[None]:
    """Say in a line that a URL cannot be read, whatever its library raises for it.

    Raises:
        OSError: With the URL and the reason; FileNotFoundError and PermissionError stay what they are.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as raised:
        error = _without_absence(raised)
        kind = next((kind for kind in (FileNotFoundError, PermissionError) if isinstance(error, kind)), OSError)
        if getattr(error, "status", None) in (401, 403):  # as libraries for HTTP say it
            kind = PermissionError
        parts = urlsplit(url)
        reason = "not found" if kind is FileNotFoundError else in_a_line(error)
        for secret in filter(None, (parts.netloc.rpartition("@")[0], parts.password, parts.query)):
            reason = reason.replace(secret, "…")
        reason = _SECRETS.sub("…", reason)  # libraries also quote a URL in another spelling
        raise kind(f"{shown(url)} cannot be read: {reason or type(error).__name__}") from raised


def _without_absence(error: Exception) -> BaseException:
    """The error, or its cause where that is no absence: over HTTP, fsspec tells any failure as a file not there."""
    cause = error.__cause__
    if not isinstance(error, FileNotFoundError) or cause is None or isinstance(cause, FileNotFoundError):
        return error
    return cause if isinstance(cause, OSError) or getattr(cause, "status", 404) not in (404, 410) else error


@contextmanager
def listed(url: str) -> Iterator[None]:
    """The same while a data set is being listed.

    Raises:
        DataError: With the URL and the reason.
    """
    try:
        with reached(url):
            yield
    except OSError as error:
        raise DataError(f"{error}; check the URL, the credentials and the region") from error


def read_range(location: str, start: int, size: int, *, at_least: int | None = None) -> bytes:
    """Bytes of a file on this machine or behind a URL. No file stays open: there may be thousands of tars.

    Args:
        location: A path or a URL.
        start: Where they begin.
        size: How many.
        at_least: How many there must be, should the file end before; None: all.

    Raises:
        DataError: The file ends before.
        OSError: It cannot be read, or only as a whole.
    """
    if is_url(location):
        with reached(location):
            files, path = file_system(location)
            content: bytes = files.cat_file(path, start=start, end=start + size) if size else b""
    else:
        with open(location, "rb") as file:
            file.seek(start)
            content = file.read(size)
    if len(content) > size:
        raise OSError(f"{shown(location)} is not served in parts: download it, and give the file")
    needed = size if at_least is None else at_least
    if len(content) < needed:
        raise DataError(f"{shown(location)} ends before byte {start + needed}: download it again")
    return content
