"""Embeddings of image files that caches under a root have, for streams of images: nothing is encoded twice.

An embedding is taken where the file is the same to the byte and the cache was made by the same encoder, in batches of
the same size and kept as the same numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from featcache.cache.catalogue import Listed, list_caches
from featcache.encoding.known_images import UNKNOWN, KnownImages, known_images
from featcache.places.folder import is_url
from featcache.places.home import resolve_root

NAMES = ("architecture", "pretrained")
"""What an encoder is called, which may change with the place of its files; its digests say what it is."""


class Reused(NamedTuple):
    """R embeddings that were there already.

    Attributes:
        features: (R, D) float32; anything where they are gone.
        sources: What each was taken from; empty strings where it is gone, or damaged.
    """

    features: np.ndarray
    sources: list[str]


class Known(Protocol):
    """Embeddings that are there already, by digests of the images; forked processes share it."""

    def __contains__(self, digest: object) -> bool:
        """Whether there is one for an image with that digest."""
        ...

    def take(self, digests: np.ndarray) -> Reused:
        """The embeddings of R >= 1 images by digests (R, 16) uint8 that it had."""
        ...


class KnownFiles:
    """What caches have, as a `Known`.

    Args:
        images: Of the caches; None: there is none.
        dim: D.
    """

    def __init__(self, images: KnownImages | None = None, dim: int = 0) -> None:
        self._images, self._dim = images, dim

    @classmethod
    def under(cls, root: str | Path | None, encoder: Mapping[str, Any], *, batch_size: int, dtype: str) -> KnownFiles:
        """Those of the caches under a root on this machine; behind a URL looking would cost more than it saves.

        Args:
            root: Where caches live.
            encoder: The identity that made them.
            batch_size: Images that were encoded together.
            dtype: How embeddings are kept.
        """
        if is_url(resolve_root(root)):
            return cls()
        how = {"batch_size": batch_size, "dtype": dtype, "encoder": _nameless(encoder)}

        def alike(listed: Listed) -> bool:
            identity = listed.manifest.get("identity", {})
            there = {**identity, "encoder": _nameless(identity.get("encoder", {}))}
            return all(there.get(key) == value for key, value in how.items())

        caches = [(listed, False) for listed in list_caches(root) if not listed.problem and alike(listed)]
        return cls(known_images(caches, {}), int(encoder["dim"]))

    def __len__(self) -> int:
        return len(self._images) if self._images is not None else 0

    def __contains__(self, digest: object) -> bool:
        assert isinstance(digest, bytes)
        return self._place(digest) != UNKNOWN

    def take(self, digests: np.ndarray) -> Reused:
        """See `Known.take`; the source of an embedding is the name of its cache."""
        assert self._images is not None
        places = np.array([self._place(digest.tobytes()) for digest in digests])
        sources = [""] * len(places)
        features = np.zeros((len(places), self._dim), np.float32)
        rows = np.flatnonzero(places != UNKNOWN)  # all, unless a cache vanished since
        found = self._images.take("", places[rows], digests[rows], np.empty((len(rows), 0)), self._dim)
        features[rows] = found.images
        there = rows[found.taken]
        for row, name in zip(there.tolist(), self._images.caches_at(places[there].tolist()), strict=True):
            sources[row] = name
        return Reused(features, sources)

    def _place(self, digest: bytes) -> int:
        return UNKNOWN if self._images is None else self._images.find("", "", b"", digest)


def told(counts: Counter[str]) -> str:
    """How many embeddings were taken from which cache, in words; empty where none was."""
    return ", ".join(f"{count:,} from {name}" for name, count in counts.most_common())


def _nameless(encoder: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in encoder.items() if key not in NAMES}
