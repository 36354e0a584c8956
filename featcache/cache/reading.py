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
    DAMAGE,
    MANIFEST,
    ROOT_GROUP,
    UNLABELLED,
)
from featcache.cache.manifest import Completion, Manifest, check_format
from featcache.cache.metadata import Expected
from featcache.cache.projections import read_projections, whole_projection
from featcache.cache.sealed import find_sealed, read_sealed
from featcache.cache.split import CachedSplit
from featcache.cache.text_sets import TextFeatures, TextIndex
from featcache.errors import CacheError, CacheIncomplete, in_a_line
from featcache.origin import caveat, made_by
from featcache.places.folder import Folder, join
from featcache.places.together import together
from featcache.records import Malformed, checked, digest


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
            message = f"the cache {folder.location} is unfinished; type the same `{made_by(manifest)}` command again"
            raise CacheIncomplete(message)
        self.completion: dict[str, Any] = complete
        self._splits: dict[str, CachedSplit] = {}
        self._mended: dict[str, dict[int, int]] = {}
        self.mended: Mended | None = None
        self._before = False

    @property
    def _before_it(self) -> dict[str, np.ndarray] | None:
        return self.projections if self._before else None

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
    def caveat(self) -> str:
        """What must be known of every number made of its embeddings; empty where they were encoded here."""
        return caveat(self.manifest)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The C class names; labels index them."""
        return tuple(self.dataset["class_names"])

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each split, in the manifest's order."""
        return dict(self.manifest["plan"]["rows"])

    @property
    def unlabelled(self) -> dict[str, int]:
        """Rows of each split whose image had no label when the cache was made; splits without any are left out."""
        return unlabelled(self.rows, self.completion)

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits."""
        return tuple(self.rows)

    def __contains__(self, split: object) -> bool:
        return split in self.rows

    def _arrays_of(self, split: str) -> list[str]:
        """The arrays of a split that there were when the cache was finished."""
        places = (name.split("/") for name in self.completion.get("files", {}))
        return [place[1] for place in places if len(place) == 3 and place[0] == split and place[2] == ROOT_GROUP]

    def __getitem__(self, split: str) -> CachedSplit:
        if split not in self.rows:
            raise CacheError(f"the cache {self.name} has no split {split!r}; it has {', '.join(self.splits)}")
        if split not in self._splits:
            try:
                group = self._group[split]
                if not isinstance(group, zarr.Group):
                    raise TypeError("it is an array")
                if lost := [array for array in self._arrays_of(split) if array not in group]:
                    raise TypeError(f"{', '.join(lost)} is not named there")
            except DAMAGE as error:
                message = f"the metadata of {split} in {self.path} is damaged ({in_a_line(error)}); type "
                raise CacheIncomplete(message + f"`featcache verify {self.path} --repair`") from error
            labelled = self.completion.get("labelled", {}).get(split)
            self._splits[split] = CachedSplit(
                split, group, Expected(self.manifest, split, labelled), self._mended.get(split), self._before_it
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
        unread = [(self[split], array) for split in self.splits for array in self[split].unread()]
        together(lambda what: what[0].read_ahead(what[1]), unread)
        return self

    @property
    def prompt_sets(self) -> tuple[str, ...]:
        """Names of the prompt sets that class-text embeddings exist for."""
        return TextIndex(self.folder).names

    @property
    def text(self) -> TextFeatures:
        """The class-text embeddings of the default prompt set."""
        return self.text_set()

    def text_set(self, name: str | None = None) -> TextFeatures:
        """The class-text embeddings of a named prompt set (None: the default one).

        Raises:
            CacheError: There is no such prompt set.
        """
        text, projections = TextIndex(self.folder).read(self.class_names, name), self.projections
        if projections is None:
            return text
        text = replace(text, projection=projections.get("text"))
        if not self._before:
            return text
        return replace(text, image_projection=whole_projection(projections), image_bias="image_bias" in projections)

    def before_projection(self) -> Cache:
        """The same cache with what comes before the image tower's projection in place of embeddings.

        `images` and `views` are then (…, P), with a 1 at the end where the projection has a bias, and `text` has the
        `image_projection` that takes them to embeddings.

        Raises:
            CacheError: That is not kept.
        """
        if self.projections is None:
            raise CacheError(f"cache {self.name} keeps nothing from before the last projection: extract with --keep")
        other = copy.copy(self)
        other._before, other._splits = True, {}
        return other

    @cached_property
    def projections(self) -> dict[str, np.ndarray] | None:
        """What the towers end with, by name: `image` (P, D), `image_bias` (D,), `text` (E, D); None: it is not kept.

        Raises:
            CacheIncomplete: They are damaged.
        """
        return read_projections(self.folder, self.manifest)


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


def unlabelled(rows: Mapping[str, int], completion: Mapping[str, Any] | None) -> dict[str, int]:
    """Rows without a label of each split that has any; caches of older versions say of none."""
    labelled = (completion or {}).get("labelled", rows)
    return {split: count - labelled[split] for split, count in rows.items() if count > labelled[split]}


def read_completion(folder: Folder) -> dict[str, Any] | None:
    """When a cache was finished and what it counted then; None if it is not."""
    return find_sealed(folder, COMPLETE, Completion)
