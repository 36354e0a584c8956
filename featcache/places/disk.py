"""A folder on this machine: its files, each written whole."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from featcache.places.arrays import WholeFiles
from featcache.places.whole import PARTIAL, make_folder, settle, write_whole


class Disk:
    """Files below one path; a name is relative to it, with forward slashes."""

    def __init__(self, base: Path) -> None:
        self._base = base.absolute()

    def path(self, name: str) -> Path:
        """Where `name` is."""
        return self._base / name

    def arrays(self, *, read_only: bool) -> WholeFiles:
        """What Zarr opens."""
        return WholeFiles(self._base, read_only=read_only)

    def exists(self, name: str) -> bool:
        """Whether there is a file or folder of that name."""
        return self.path(name).exists()

    def names(self, subfolder: str) -> list[str]:
        """The names in a subfolder, in no order; none if there is no such folder."""
        where = self.path(subfolder)
        return [entry.name for entry in where.iterdir()] if where.is_dir() else []

    def files(self, subfolder: str) -> list[str]:
        """The files in a subfolder and below, in no order."""
        files = (path for path in self.path(subfolder).rglob("*") if path.is_file())
        return [path.relative_to(self._base).as_posix() for path in files]

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: There is no such file.
        """
        return self.path(name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all; it is on the disk when this returns."""
        target = self.path(name)
        make_folder(target.parent)
        write_whole(target, content)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files; nothing happens where there is none."""
        for name in names:
            if self.exists(name):
                self.path(name).unlink(missing_ok=True)
                # What comes back after a loss of power, beside what was written later, would count again.
                settle(self.path(name).parent)

    def remove_folder(self, name: str) -> None:
        """Remove a folder with all that is in it; nothing happens if there is none."""
        if self.path(name).exists():
            shutil.rmtree(self.path(name))

    def remove_itself(self) -> None:
        """Remove the folder: it is moved aside in one step, under a hidden name, and then deleted."""
        aside = self._base.with_name(f".{self._base.name}.{secrets.token_hex(4)}{PARTIAL}")
        self._base.rename(aside)
        settle(aside.parent)
        shutil.rmtree(aside)

    def remove_partial_folders(self) -> None:
        """Delete folders in this one that were moved aside by who was killed then."""
        for leftover in self._base.glob(f".*{PARTIAL}"):
            shutil.rmtree(leftover, ignore_errors=True)

    def remove_partial_files(self) -> None:
        """Remove what writers that were killed left behind under temporary names."""
        for leftover in self._base.rglob(f"*{PARTIAL}"):
            leftover.unlink(missing_ok=True)
