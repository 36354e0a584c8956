"""Many files by one pattern: `shard-{00000..00009}.tar`, `{train,val}/*.tar`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from featcache.datasets.readers.remote import file_system, listed
from featcache.places.folder import is_url

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def is_pattern(location: str) -> bool:
    """Whether it has braces or stars."""
    return bool(_BRACES.search(location) or "*" in location)


def root_of(location: str) -> str:
    """The folder in which all files of a pattern lie; a URL's query is no part of it."""
    return re.split(r"[{*?]", location, maxsplit=1)[0].rpartition("/")[0] or "."


def matching(location: str) -> Iterator[str]:
    """The files of a pattern in its order: those that braces name, whether they are there or not, and those that are.

    Raises:
        DataError: A URL with stars cannot be listed.
    """
    for each in _expanded(location):
        if "*" not in each:
            yield each
        elif is_url(each):
            with listed(each):
                files, path = file_system(each)
                yield from sorted(files.unstrip_protocol(found) for found in files.glob(path))
        else:
            root = Path(root_of(each)).expanduser()
            yield from sorted(map(str, root.glob(each[len(root_of(each)) :].lstrip("/"))))


def _expanded(location: str) -> Iterator[str]:
    parts = _BRACES.split(location)  # text, inside of braces, text, …
    choices = [_choices(part) if number % 2 else [part] for number, part in enumerate(parts)]
    return map("".join, itertools.product(*choices))


def _choices(inside: str) -> list[str]:
    if bounds := _RANGE.fullmatch(inside):
        first, last = bounds.groups()
        return [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
    return inside.split(",")
