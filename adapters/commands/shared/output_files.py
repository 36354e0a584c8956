"""Files that a command is to write its findings to, looked at before the work."""

from __future__ import annotations

from pathlib import Path

from adapters.errors import AdapterError


def check_output(path: Path, option: str) -> None:
    """Refuse a file that could not be written after the work.

    Args:
        path: as given.
        option: by which it was, with its dashes.

    Raises:
        AdapterError: it is a folder, or there is no folder for it.
    """
    place = path.expanduser()
    if place.is_dir():
        raise AdapterError(f"{option} {path} is a folder: give a file in it")
    if not place.parent.is_dir():
        raise AdapterError(f"{option} {path}: there is no folder {path.parent}: make it, or give another file")
