"""The formats by name: what `featcache export --to` offers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from featcache.errors import CacheError
from featcache.named import Named

if TYPE_CHECKING:
    from featcache.exporting.content import Content

Told = Callable[[int], None]
"""Called with the number of rows that were written more."""
Write = Callable[["Content", Path, Told], None]
"""Writes a cache to a path where nothing is."""


class Entry(NamedTuple):
    """A format in the list; what it is stands here, so that help need not import it.

    Attributes:
        home: Where its `Write` is, `module:attribute`.
        ending: How the file or folder is called behind the cache's name.
        meaning: What it is, for help.
    """

    home: str
    ending: str
    meaning: str


ENTRIES = {
    "npz": Entry("featcache.exporting.formats.npz:write_npz", ".npz", "NumPy's zip of arrays, np.load reads it"),
    "parquet": Entry(
        "featcache.exporting.formats.parquet:write_parquet",
        ".parquet",
        "one row an image, embeddings as lists of fixed size: for DuckDB, Polars, pandas",
    ),
    "clip-retrieval": Entry(
        "featcache.exporting.formats.clip_retrieval:write_clip_retrieval",
        "-clip-retrieval",
        "clip-retrieval's folder: img_emb, rows of unit length, and metadata",
    ),
    "safetensors": Entry(
        "featcache.exporting.formats.safetensors_file:write_safetensors",
        ".safetensors",
        "tensors of each split: train.embeddings, train.labels, train.ids",
    ),
}
"""The list."""

FORMATS: Named[Write] = Named("--to", {name: entry.home for name, entry in ENTRIES.items()}, CacheError)
"""What writes each format, by name."""
