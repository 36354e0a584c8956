"""Embeddings that finished caches have, found by what an image file holds: nothing is encoded twice.

An embedding is taken where the file is the same to the byte and the cache was made by the same encoder, in batches of
the same size and kept as the same numbers, so that it is the one that encoding would give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from featcache.cache.catalogue import list_caches
from featcache.errors import CacheError
from featcache.ids import CONTENT_BYTES
from featcache.places.folder import Folder, is_url
from featcache.places.home import resolve_root

if TYPE_CHECKING:
    from featcache.cache.split import CachedSplit

NAMES = ("architecture", "pretrained")
"""What an encoder is called, which may change with the place of its files; its digests say what it is."""


class CachedPart(NamedTuple):
    """A split of a cache."""

    cache: str
    split: CachedSplit


class Known(Protocol):
    """Embeddings that are there already, by digests of the images; forked processes share it."""

    def __contains__(self, digest: object) -> bool:
        """Whether there is one for an image with that digest."""
        ...

    def take(self, digests: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """The embeddings (R, D) float32 by digests (R, 16) uint8 that it has, and what each was taken from."""
        ...


class KnownEmbeddings:
    """What caches have, as a `Known`.

    Args:
        parts: The splits.
        digests: (N,) digests of their readable files, as bytes strings, sorted.
        where: (N, 2) int64: of each digest the number of its split, and the row there.
    """

    def __init__(
        self, parts: Sequence[CachedPart] = (), digests: np.ndarray | None = None, where: np.ndarray | None = None
    ):
        self._parts = parts
        self._digests = np.empty(0, f"S{CONTENT_BYTES}") if digests is None else digests
        self._where = np.empty((0, 2), np.int64) if where is None else where

    @classmethod
    def under(
        cls, root: str | Path | None, encoder: Mapping[str, Any], *, batch_size: int, dtype: str
    ) -> KnownEmbeddings:
        """Those of the caches under a root on this machine; behind a URL looking would cost more than it saves.

        Args:
            root: Where caches live.
            encoder: The identity that made them.
            batch_size: Images that were encoded together.
            dtype: How embeddings are kept.
        """
        if is_url(resolve_root(root)):
            return cls()
        from featcache.cache.reading import Cache

        how = {"batch_size": batch_size, "dtype": dtype}
        parts: list[CachedPart] = []
        digests, where = [], []
        for listed in list_caches(root):
            identity = listed.manifest.get("identity", {})
            if not listed.finished or {key: identity.get(key) for key in how} != how:
                continue
            if _nameless(identity["encoder"]) != _nameless(encoder):
                continue
            try:
                cache = Cache(Folder(listed.path))
                for name in cache.splits:
                    split = cache[name]
                    if split.content is None:
                        continue
                    rows = np.flatnonzero(split.valid)
                    digests.append(_as_strings(split.content[rows]))
                    where.append(np.stack([np.full(len(rows), len(parts)), rows], axis=1))
                    parts.append(CachedPart(listed.name, split))
            except CacheError:  # what is damaged is not used; `featcache verify` is who tells of it
                continue
        if not digests:
            return cls()
        found, first = np.unique(np.concatenate(digests), return_index=True)
        return cls(parts, found, np.concatenate(where)[first])

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, digest: object) -> bool:
        assert isinstance(digest, bytes)
        # NumPy's byte strings have no zeros at their end.
        return bool(len(self._digests)) and bool(self._digests[self._place(digest)] == digest.rstrip(b"\0"))

    def _place(self, digest: bytes) -> int:
        return min(int(np.searchsorted(self._digests, np.bytes_(digest))), len(self._digests) - 1)

    def take(self, digests: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """The embeddings (R, D) float32 of files by their digests (R, 16) uint8, and the cache that each is of.

        Raises:
            CacheIncomplete: A cache was damaged since it was looked at.
        """
        places = [self._place(digest) for digest in _as_strings(digests).tolist()]
        where = self._where[places]
        taken: np.ndarray | None = None
        for number in np.unique(where[:, 0]).tolist():
            of_part = np.flatnonzero(where[:, 0] == number)
            embeddings = self._parts[number].split.take_images(where[of_part, 1])
            if taken is None:
                taken = np.empty((len(places), embeddings.shape[1]), np.float32)
            taken[of_part] = embeddings
        assert taken is not None
        return taken, [self._parts[number].cache for number in where[:, 0].tolist()]


def told(counts: Counter[str]) -> str:
    """How many embeddings were taken from which cache, in words; empty where none was."""
    return ", ".join(f"{count:,} from {name}" for name, count in counts.most_common())


def _nameless(encoder: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in encoder.items() if key not in NAMES}


def _as_strings(digests: np.ndarray) -> np.ndarray:
    """(N, 16) uint8 as (N,) byte strings, which NumPy sorts and compares."""
    return np.ascontiguousarray(digests).view(f"S{CONTENT_BYTES}").reshape(-1)
