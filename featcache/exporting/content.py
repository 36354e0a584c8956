"""What of a cache leaves it: readable rows, a block at a time, and what is said of them.

An image that could not be read has no embedding, and no row here. Augmented views stay in the cache.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from featcache.array_names import CLASS_NAMES, MANIFEST, PROMPTS, SCALE
from featcache.cache.reading import Cache
from featcache.cache.text_sets import TextFeatures
from featcache.ids import Ids

BLOCK = 16_384
"""Rows that are read and written together."""


class Block(NamedTuple):
    """R readable rows of a split.

    Attributes:
        split: Its name.
        embeddings: (R, D), as they are stored.
        labels: (R,) int64; -1 where an image has none.
        ids: The images'.
    """

    split: str
    embeddings: np.ndarray
    labels: np.ndarray
    ids: Ids


class Content:
    """A cache to be exported.

    Attributes:
        cache: The cache.
        rows: Readable rows of each split; those of all are `total`.
        id_bytes: Of the longest id of each split.
    """

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.rows = {split: int(cache[split].valid.sum()) for split in cache.splits}
        self.total = sum(self.rows.values())
        self.id_bytes = {
            split: max((ids.padded.shape[1] for _, ids in self._ids(split)), default=1) for split in cache.splits
        }

    @property
    def left_out(self) -> int:
        """Images that could not be read."""
        return sum(self.cache.rows.values()) - self.total

    @property
    def dim(self) -> int:
        """D."""
        return int(self.cache.encoder["dim"])

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of the stored embeddings."""
        return np.dtype(str(self.cache.manifest["identity"]["dtype"]))

    @cached_property
    def text(self) -> TextFeatures:
        """The default prompt set."""
        return self.cache.text

    def facts(self) -> dict[str, str]:
        """What is said beside the arrays, by name; JSON but for the scale."""
        return {
            CLASS_NAMES: json.dumps(list(self.cache.class_names), ensure_ascii=False),
            PROMPTS: json.dumps([list(prompts) for prompts in self.text.prompts], ensure_ascii=False),
            SCALE: repr(self.text.logit_scale),
            MANIFEST: json.dumps(self.cache.manifest, ensure_ascii=False),
        }

    def blocks(self, split: str | None = None) -> Iterator[Block]:
        """All rows, or those of a split, in order.

        Raises:
            CacheIncomplete: Some of them are damaged.
        """
        for name in (split,) if split else self.cache.splits:
            of_split = self.cache[name]
            for rows, ids in self._ids(name):
                valid = of_split.valid[rows]
                embeddings = of_split.take_images(rows)[valid].astype(self.dtype)  # float32 from there, and exact
                yield Block(name, embeddings, of_split.labels[rows][valid], ids)

    def _ids(self, split: str) -> Iterator[tuple[slice, Ids]]:
        of_split, count = self.cache[split], self.cache.rows[split]
        for start in range(0, count, BLOCK):
            rows = slice(start, min(start + BLOCK, count))
            padded = of_split.take_padded_ids(rows)[of_split.valid[rows]]
            if len(padded):
                yield rows, Ids(padded).take(np.arange(len(padded)))
