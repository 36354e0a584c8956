"""Exporting a cache: to a path where nothing is, and there whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featcache.cache.reading import Cache
from featcache.errors import CacheError
from featcache.exporting.content import Content
from featcache.exporting.formats.formats import ENTRIES, FORMATS
from featcache.places.whole import written_whole
from featcache.progress import Reporter


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        cache: The cache's name.
        format: A key of `ENTRIES`.
        path: The file or folder.
        rows: Of each split.
        left_out: Images that could not be read, which have no row.
        pre_projection: Whether the cache keeps features from before the last projection, which stay behind.
    """

    cache: str
    format: str
    path: Path
    rows: dict[str, int]
    left_out: int
    pre_projection: bool = False

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "cache": self.cache,
            "format": self.format,
            "path": str(self.path),
            "rows": self.rows,
            "left_out": self.left_out,
            "pre_projection_left_out": self.pre_projection,
        }


def export_cache(cache: Cache, to: str, out: Path | None, *, overwrite: bool, reporter: Reporter) -> Exported:
    """Write a cache in another format.

    Args:
        cache: The cache.
        to: A key of `ENTRIES`.
        out: The file or folder; None: in the current folder, called as the cache.
        overwrite: Whether what is there may be replaced.
        reporter: Where progress is told.

    Raises:
        CacheError: There is something there, no folder for it, or rows of the cache are damaged.
        OSError: It cannot be written.
    """
    path = (out or Path(f"{cache.name}{ENTRIES[to].ending}")).expanduser().absolute()
    if not path.parent.is_dir():
        raise CacheError(f"--out {path}: there is no folder {path.parent}: make it, or give another path")
    if path.exists() and not overwrite:
        raise CacheError(f"{path} is there already: type --overwrite to replace it, or another --out")
    if path.is_dir() and not _is_export(path):
        raise CacheError(f"{path} is a folder that no export wrote: give another --out")
    content = Content(cache)
    reporter.start(f"Exporting {cache.name}", content.total)
    with written_whole(path) as fresh:
        FORMATS[to](content, fresh, lambda rows: reporter.advance(rows, 0))
    return Exported(cache.name, to, path, content.rows, content.left_out, cache.projections is not None)


def _is_export(folder: Path) -> bool:
    return {entry.name for entry in folder.iterdir()} <= {"img_emb", "metadata"}
