"""Files that results are to be written to, looked at before the work."""

from __future__ import annotations

from pathlib import Path

from adapters.errors import AdapterError
from featcache.places.whole import check_writable


def check_output(path: Path, option: str) -> None:
    """Refuse a file that could not be written after the work.

    Args:
        path: as given.
        option: by which it was, with its dashes.

    Raises:
        AdapterError: it is a folder, or there is no folder for it.
        OSError: it may not be written.
    """
    place = path.expanduser()
    if place.is_dir():
        raise AdapterError(f"{option} {path} is a folder: give a file in it")
    if not place.parent.is_dir():
        raise AdapterError(f"{option} {path}: there is no folder {path.parent}: make it, or give another file")
    check_writable(place)
