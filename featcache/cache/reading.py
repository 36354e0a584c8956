"""Reading a finished cache: NumPy arrays in, no encoder and no torch needed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from featcache.cache.labels_file import LabelsFile, Mended, new_labels, read_labels_file
from featcache.cache.layout import (
    COMPLETE,
    CONTENT,
    DAMAGE,
    ENCODED,
    IDS,
    IMAGES,
    LABELS,
    MANIFEST,
    MISSING,
    STATE,
    UNLABELLED,
    VIEWS,
)
from featcache.cache.manifest import Completion, Manifest, check_format
from featcache.cache.metadata import Expected
from featcache.cache.sealed import find_sealed, read_sealed
from featcache.cache.text_sets import TextFeatures, TextIndex
from featcache.errors import CacheError, CacheIncomplete, in_a_line
from featcache.ids import decode_ids
from featcache.places.folder import Folder, array_in, join
from featcache.places.together import together
from featcache.records import Malformed, checked, digest

BLOCK = 8_192
"""Rows that are read and converted together, at least."""


class CachedSplit:
    """One split: row i is sample i of the split's listing.

    Attributes are read when first asked for and then kept.
    """

    def __init__(
        self, name: str, group: zarr.Group, expected: Expected, mended: Mapping[int, int] | None = None
    ) -> None:
        self.name = name
        self._group = group
        self._expected = expected
        self._mended = dict(mended or {})
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
        return self._take(IMAGES, rows)

    def take_views(self, rows: np.ndarray | slice) -> np.ndarray | None:
        """(R, V, D) float32: some rows of `views`, or None if the cache has none."""
        return self._take(VIEWS, rows) if VIEWS in self._group else None

    def take_ids(self, rows: np.ndarray | slice) -> np.ndarray:
        """(R,) strings: some rows of `ids`, reading only the chunks they lie in."""
        return self._ids(rows)

    def _ids(self, rows: np.ndarray | slice) -> np.ndarray:
        ids = decode_ids(self._read(IDS, rows))
        if missing := int((ids == "").sum()):
            raise CacheIncomplete(f"{missing} of {len(ids)} ids are missing{self._remedy()}")
        return ids

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
            "then the same `featcache extract` command"
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


LOADED = {"images": IMAGES, "stored_labels": LABELS, "ids": IDS, "valid": STATE}
"""What `load` reads, and the array that each needs."""


class Cache:
    """A finished cache. Get one from `featcache.open`, `featcache.latest` or `featcache.extract`.

    Example:
        >>> cache = featcache.open("digits-tiny")
        >>> cache["train"].images.shape, cache.text.weights().shape
        ((898, 128), (10, 128))

    Attributes:
        folder: Where it is.
        manifest: `manifest.json`: what it is made from.
        completion: `complete.json`: when it was finished, unreadable rows of each split, seconds of encoding.
        mended: what a labels file made of the labels (`relabelled`); None: they are those of the data set.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        reads: tuple[Callable[[Folder], Any], ...] = (read_manifest, read_completion)
        manifest, complete = together(lambda read: read(folder), reads)
        self.manifest: dict[str, Any] = manifest
        if complete is None:
            message = f"the cache {folder.location} is unfinished; type the same `featcache extract` command again"
            raise CacheIncomplete(message)
        self.completion: dict[str, Any] = complete
        self._splits: dict[str, CachedSplit] = {}
        self._mended: dict[str, dict[int, int]] = {}
        self.mended: Mended | None = None

    def __repr__(self) -> str:
        rows = ", ".join(f"{split} {n}" for split, n in self.rows.items())
        return f"<Cache {self.name}: {rows}; {len(self.class_names)} classes>"

    @cached_property
    def _group(self) -> zarr.Group:
        return self.folder.group("r", finished=True)

    @property
    def how_encoded(self) -> dict[str, Any]:
        """What beside the encoder decides the bits of an embedding: `batch_size` and the stored `dtype`."""
        identity = self.manifest["identity"]
        return {"batch_size": identity["batch_size"], "dtype": identity["dtype"]}

    @property
    def path(self) -> str:
        """Where the cache is: a folder or a URL."""
        return self.folder.location

    @property
    def name(self) -> str:
        """The cache's name, its last path component."""
        return str(self.manifest["name"])

    @property
    def digest(self) -> str:
        """SHA-256 of everything that could change a number in it."""
        return str(self.manifest["digest"])

    @property
    def dataset(self) -> Mapping[str, Any]:
        """The manifest's account of the data set: name, class names, rows, listing digest."""
        return dict(self.manifest["identity"]["dataset"])

    @property
    def encoder(self) -> Mapping[str, Any]:
        """The manifest's account of the encoder: architecture, pretrained, digests, precision and so on."""
        return dict(self.manifest["identity"]["encoder"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """The C class names; labels index them."""
        return tuple(self.dataset["class_names"])

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each split, in the manifest's order."""
        return dict(self.manifest["plan"]["rows"])

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits."""
        return tuple(self.rows)

    def __contains__(self, split: object) -> bool:
        return split in self.rows

    def __getitem__(self, split: str) -> CachedSplit:
        if split not in self.rows:
            raise CacheError(f"the cache {self.name} has no split {split!r}; it has {', '.join(self.splits)}")
        if split not in self._splits:
            try:
                group = self._group[split]
                assert isinstance(group, zarr.Group)
            except (*DAMAGE, AssertionError) as error:
                message = f"the metadata of {split} in {self.path} is damaged ({in_a_line(error)}); type "
                raise CacheIncomplete(message + f"`featcache verify {self.path} --repair`") from error
            labelled = self.completion.get("labelled", {}).get(split)
            self._splits[split] = CachedSplit(
                split, group, Expected(self.manifest, split, labelled), self._mended.get(split)
            )
        return self._splits[split]

    def relabelled(self, labels: str | Path | LabelsFile) -> Cache:
        """The same cache with mended labels, whatever is then done with it; nothing is written.

        Args:
            labels: a CSV file of `id,label` (`featcache.cache.labels_file`); an empty label leaves the image out.

        Raises:
            CacheError: the file cannot be read, or names images or classes that the cache lacks.
        """
        file = labels if isinstance(labels, LabelsFile) else read_labels_file(labels)
        found = new_labels(file, {split: self[split].ids for split in self.splits}, self.class_names)
        changed, left_out = {}, {}
        for split, rows in found.items():
            before = self[split].stored_labels
            differ = [label for row, label in rows.items() if label != before[row]]
            left_out[split] = differ.count(UNLABELLED)
            changed[split] = len(differ) - left_out[split]
        other = copy.copy(self)
        other._splits, other._mended = {}, found
        other.mended = Mended(file.path, file.digest, changed, left_out)
        return other

    def load(self) -> Cache:
        """Read `images`, `labels`, `ids` and `valid` of all splits at once, which is faster from far away.

        Raises:
            CacheIncomplete: Something in them is damaged.
        """
        splits = [self[split] for split in self.splits]
        missing = [
            (split, array)
            for split in splits
            for name, array in LOADED.items()
            if name not in vars(split) and array not in split._ahead
        ]

        def read(what: tuple[CachedSplit, str]) -> np.ndarray:
            split, array = what
            return split._read(array)

        for (split, array), values in zip(missing, together(read, missing), strict=True):
            split._ahead[array] = values
        return self

    @property
    def prompt_sets(self) -> tuple[str, ...]:
        """Names of the prompt sets that class-text embeddings exist for."""
        return TextIndex(self.folder).names

    @property
    def text(self) -> TextFeatures:
        """The class-text embeddings of the default prompt set."""
        return TextIndex(self.folder).read(self.class_names)

    def text_set(self, name: str | None = None) -> TextFeatures:
        """The class-text embeddings of a named prompt set (None: the default one).

        Raises:
            CacheError: There is no such prompt set.
        """
        return TextIndex(self.folder).read(self.class_names, name)


def read_manifest(folder: Folder) -> dict[str, Any]:
    """The manifest of a cache of this format, finished or not.

    Raises:
        FileNotFoundError: There is none.
        CacheError: It is of another format, or not what was written.
    """
    remedy = "put it back from a copy, or extract again under another --name"
    manifest = read_sealed(folder, MANIFEST, dict[str, Any], remedy)
    check_format(manifest, folder.location)
    try:
        checked(manifest, Manifest)
    except Malformed as error:
        raise CacheError(f"{join(folder.location, MANIFEST)} is damaged: {error}; {remedy}") from error
    if manifest.get("digest") != digest(manifest.get("identity")):
        message = f"{join(folder.location, MANIFEST)} is damaged: its digest is another than that of what it says; "
        raise CacheError(message + remedy)
    return manifest


def read_completion(folder: Folder) -> dict[str, Any] | None:
    """When a cache was finished and what it counted then; None if it is not."""
    return find_sealed(folder, COMPLETE, Completion)
