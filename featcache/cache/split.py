"""One split of a cache: its arrays, read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import zarr

from featcache.cache.layout import (
    CONTENT,
    DAMAGE,
    ENCODED,
    IDS,
    IMAGES,
    LABELS,
    MISSING,
    PRE_IMAGES,
    PRE_VIEWS,
    STATE,
    UNLABELLED,
    VIEWS,
)
from featcache.cache.metadata import Expected
from featcache.cache.projections import before_it
from featcache.errors import CacheIncomplete, in_a_line
from featcache.ids import decode_ids
from featcache.places.folder import array_in
from featcache.places.together import together

BLOCK = 8_192
"""Rows that are read and converted together, at least."""


LOADED = {"images": IMAGES, "stored_labels": LABELS, "ids": IDS, "valid": STATE}
"""What is read ahead, and the array that each needs."""


class CachedSplit:
    """One split: row i is sample i of the split's listing.

    Attributes are read when first asked for and then kept.
    """

    def __init__(
        self,
        name: str,
        group: zarr.Group,
        expected: Expected,
        mended: Mapping[int, int] | None = None,
        before: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.name = name
        self._group = group
        self._expected = expected
        self._mended = dict(mended or {})
        self._before = before  # the projections, where what is before them takes the embeddings' place
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._ahead: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return int(self._array(LABELS).shape[0])

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self)} rows of {self._array(IMAGES).shape[1]} numbers>"

    @cached_property
    def images(self) -> np.ndarray:
        """(N, D) float32 embeddings as the encoder gave them (not normalised); NaN where `valid` is false."""
        return self.take_images(slice(None))

    @cached_property
    def views(self) -> np.ndarray | None:
        """(N, V, D) float32 embeddings of the augmented views, or None if the cache has none."""
        return self.take_views(slice(None)) if VIEWS in self._group else None

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) int64 class indices into the cache's class names; -1 for an image without a label.

        Of a cache with mended labels (`Cache.relabelled`) the mended ones: whoever reads labels reads these.
        """
        if not self._mended:
            return self.stored_labels
        labels = self.stored_labels.copy()
        labels[list(self._mended)] = list(self._mended.values())
        return labels

    @cached_property
    def stored_labels(self) -> np.ndarray:
        """(N,) int64: the labels as the data set gave them."""
        labels = self._read(LABELS)
        counted = self._expected.labelled
        if counted is not None and counted != (found := int((labels != UNLABELLED).sum())):
            raise CacheIncomplete(f"{found} of {counted} labels are there{self._remedy()}")
        return labels

    @cached_property
    def ids(self) -> np.ndarray:
        """(N,) strings: paths relative to the data set's image folder."""
        return self._ids(slice(None))

    @cached_property
    def labelled(self) -> np.ndarray:
        """(N,) booleans: true for images that could be read and have a label."""
        return np.asarray(self.valid & (self.labels != UNLABELLED))

    @cached_property
    def content(self) -> np.ndarray | None:
        """(N, 16) uint8: a digest of each image file's bytes, zeros where it could not be read; None in format 1."""
        if CONTENT not in self._group:
            return None
        content = self._read(CONTENT)
        if missing := int((self.valid & ~content.any(axis=1)).sum()):
            raise CacheIncomplete(f"{missing} rows of {CONTENT} are missing{self._remedy()}")
        return content

    @cached_property
    def valid(self) -> np.ndarray:
        """(N,) booleans: false for images that could not be read.

        Raises:
            CacheIncomplete: The record of some rows is missing, as after a partial copy of the cache.
        """
        return self._take_valid(slice(None))

    def take_images(self, rows: np.ndarray | slice) -> np.ndarray:
        """(R, D) float32: some rows of `images`, reading only the chunks they lie in.

        Raises:
            CacheIncomplete: Some of them are damaged or missing; missing rows never pass for numbers.
        """
        if self._before is not None:
            return before_it(self._take(PRE_IMAGES, rows), self._before)
        return self._take(IMAGES, rows)

    def take_views(self, rows: np.ndarray | slice) -> np.ndarray | None:
        """(R, V, D) float32: some rows of `views`, or None if the cache has none."""
        if VIEWS not in self._group:
            return None
        if self._before is not None:
            return before_it(self._take(PRE_VIEWS, rows), self._before)
        return self._take(VIEWS, rows)

    def take_pre_images(self, rows: np.ndarray | slice) -> np.ndarray | None:
        """(R, P) float32: what comes before the last projection, of some rows; None where that is not kept."""
        return self._take(PRE_IMAGES, rows) if PRE_IMAGES in self._group else None

    def take_pre_views(self, rows: np.ndarray | slice) -> np.ndarray | None:
        """(R, V, P) float32: the same of augmented views."""
        return self._take(PRE_VIEWS, rows) if PRE_VIEWS in self._group else None

    def take_ids(self, rows: np.ndarray | slice) -> np.ndarray:
        """(R,) strings: some rows of `ids`, reading only the chunks they lie in."""
        return self._ids(rows)

    def take_padded_ids(self, rows: np.ndarray | slice) -> np.ndarray:
        """(R, W) uint8: some rows of `ids` as they are stored, padded with zero bytes."""
        padded = self._read(IDS, rows)
        if missing := int((~padded.any(axis=1)).sum()):
            raise CacheIncomplete(f"{missing} of {len(padded)} ids are missing{self._remedy()}")
        return padded

    def take_content(self, rows: np.ndarray | slice) -> np.ndarray | None:
        """(R, 16) uint8: some rows of `content`; None in format 1."""
        return self._read(CONTENT, rows) if CONTENT in self._group else None

    def unread(self) -> list[str]:
        """The arrays of `LOADED` that have not been read."""
        return [array for name, array in LOADED.items() if name not in vars(self) and array not in self._ahead]

    def read_ahead(self, array: str) -> None:
        """Read an array now; it is given out when it is asked for.

        Raises:
            CacheIncomplete: It is damaged.
        """
        self._ahead[array] = self._read(array)

    def _ids(self, rows: np.ndarray | slice) -> np.ndarray:
        return decode_ids(self.take_padded_ids(rows))

    def _take_valid(self, rows: np.ndarray | slice) -> np.ndarray:
        state = self._read(STATE, rows)
        if missing := int((state == MISSING).sum()):
            raise CacheIncomplete(f"{missing} of {len(state)} rows are missing{self._remedy()}")
        return np.asarray(state == ENCODED)

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self._arrays:
            try:
                array = array_in(self._group, name)
                self._expected.check(name, array)
            except (*DAMAGE, CacheIncomplete) as error:
                raise CacheIncomplete(f"{name} is damaged ({in_a_line(error)}){self._remedy()}") from error
            self._arrays[name] = array
        return self._arrays[name]

    def _read(self, name: str, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        whole = _is_whole(rows)
        if whole and name in self._ahead:
            return self._ahead.pop(name)
        try:
            array = self._array(name)
            return read_shards(array) if whole and array.shards else np.asarray(array.oindex[rows])
        except DAMAGE as error:
            raise CacheIncomplete(f"{name} is damaged ({error}){self._remedy()}") from error

    def _take(self, name: str, rows: np.ndarray | slice) -> np.ndarray:
        values = self._read(name, rows).astype(np.float32, copy=False)
        present = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
        known = "valid" in vars(self) or _is_whole(rows)
        valid = self.valid[rows] if known else self._take_valid(rows)
        if missing := int((valid & ~present).sum()):
            raise CacheIncomplete(f"{missing} rows of {name} are missing{self._remedy()}")
        return values

    def _remedy(self) -> str:
        place = f"{self._group.store_path}".removeprefix("file://").removesuffix(f"/{self.name}")
        return (
            f" in {self.name} of {place}; type `featcache verify {place} --repair`, "
            f"then the same `{self._expected.made_by}` command"
        )


def _is_whole(rows: np.ndarray | slice) -> bool:
    return isinstance(rows, slice) and rows == slice(None)


def read_shards(array: zarr.Array[Any]) -> np.ndarray:
    """All of an array of embeddings as float32, several shards at once and each by one request.

    Of a shard that is not full, as the last one, Zarr would ask for one chunk after another; it is told that all are.
    """
    assert array.shards
    rows, per_shard = array.shape[0], array.shards[0]
    full: Any = replace(array.metadata, shape=(-(-rows // per_shard) * per_shard, *array.shape[1:]))
    shards = zarr.Array(zarr.AsyncArray(full, array.store_path))
    values = np.empty(array.shape, np.float32)
    step = per_shard * max(BLOCK // per_shard, 1)

    def read(start: int) -> None:
        stop = min(start + step, rows)
        values[start:stop] = np.asarray(shards[start : -(-stop // per_shard) * per_shard])[: stop - start]

    together(read, range(0, rows, step))
    return values
