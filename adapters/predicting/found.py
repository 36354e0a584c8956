"""From what was typed to images: files, folders, patterns, and a list on standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from adapters.errors import AdapterError
from featcache.datasets.readers.folder import followed
from featcache.datasets.readers.image_files import is_hidden, is_image
from featcache.encoding.given import Unreadable
from featcache.places.folder import is_url

STANDARD_INPUT = "-"


def check_paths(paths: Sequence[str]) -> None:
    """Refuse paths of which none is there, before any work.

    Raises:
        AdapterError: names the first.
    """
    if any(path == STANDARD_INPUT or os.path.exists(os.path.expanduser(path)) or _matches(path) for path in paths):
        return
    remedy = (
        "download it first" if is_url(paths[0]) else "give image files, folders of them, patterns such as 'a/*.jpg'"
    )
    raise AdapterError(f"no such file or folder: {paths[0]}; {remedy}, or - for a list on standard input")


def find_images(paths: Sequence[str]) -> Iterator[str | Unreadable]:
    """Files as given, and every image below a given folder in sorted order; hidden ones are left out.

    Args:
        paths: files, folders, patterns of `glob` (`**` for folders at any depth), or `-`: a path a line is read from
            standard input, as the lines come.
    """
    for path in paths:
        if path == STANDARD_INPUT:
            for line in sys.stdin.buffer:  # as bytes: names of files need not be text
                if name := line.rstrip(b"\r\n"):
                    yield from _below(os.fsdecode(name))
        elif os.path.exists(os.path.expanduser(path)) or not glob.has_magic(path):
            yield from _below(path)
        else:
            yield from _matching(path)


def _matching(pattern: str) -> Iterator[str | Unreadable]:
    matches = _matches(pattern)
    if not matches:
        yield Unreadable(pattern, "no file matches")
    folders = {Path(match) for match in matches if os.path.isdir(match)}
    for match in sorted(matches):
        if folders.isdisjoint(Path(match).parents):  # else it is given with that folder
            yield from _below(match)


def _matches(pattern: str) -> list[str]:
    return glob.glob(os.path.expanduser(pattern), recursive=True) if glob.has_magic(pattern) else []


def _below(path: str) -> Iterator[str | Unreadable]:
    folder = Path(path).expanduser()
    if not folder.is_dir():
        yield path if folder.is_file() else Unreadable(path, "no such file or folder")
        return
    any_image = False
    for image in _images(str(folder), ()):
        any_image = True
        yield image
    if not any_image:
        yield Unreadable(path, "the folder holds no images")


def _images(folder: str, above: Sequence[str]) -> Iterator[str | Unreadable]:
    """Images of a folder and those below, in order; one folder's names are held at a time, however many there are."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted((entry for entry in entries if not is_hidden(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        yield Unreadable(folder, error.strerror or str(error))
        return
    for entry in listed:
        if entry.is_dir():
            yield from _images(entry.path, followed(entry, above))
        elif is_image(entry.name):
            yield entry.path
