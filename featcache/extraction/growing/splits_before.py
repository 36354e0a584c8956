"""Splits that are made here stay what they were: caches of the same data set tell where an image was.

An image is the same where its file is, wherever it lies now; a changed one is where its id was. The files are read for
that, and only where a cache has images that the listing has no more, or has elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from featcache.cache.catalogue import Listed, list_caches
from featcache.cache.encoded_rows import UNUSABLE, EncodedRows
from featcache.datasets.dataset import Dataset, Split
from featcache.datasets.kept_splits import ELSEWHERE, made_here, with_kept_splits
from featcache.datasets.listing import SPLITS
from featcache.extraction.growing.overwritten import overwritten
from featcache.extraction.request import Request
from featcache.ids import CONTENT_BYTES, Ids, mixed_bytes
from featcache.images.content import content_of
from featcache.images.headers import look_at
from featcache.places.cores import cores_here
from featcache.places.folder import Folder

PART = 256
"""Images that a process reads at a time."""
ALONE = 2048
"""Images that one process reads sooner than several are started."""
KIN = 0.5
"""Of the ids of a cache, at least, that a folder elsewhere has which is the same data set, moved."""


class Before:
    """A cache of the data set, as it was.

    Args:
        listed: The cache.

    Raises:
        CacheError, OSError, ValueError and others (`UNUSABLE`): its ids are damaged, or not all there yet.
    """

    def __init__(self, listed: Listed) -> None:
        self.manifest, self.folder = listed.manifest, Folder(listed.path)
        self._rows = EncodedRows(self.folder, listed.manifest)
        ids = {split: self._rows.ids(split) for split in self._rows.plan.rows}
        self._ids = {split: mixed_bytes([of_split]) for split, of_split in ids.items()}

    @property
    def by_id(self) -> tuple[np.ndarray, np.ndarray]:
        """(M,) mixed ids, and the place in `SPLITS` of the split of each."""
        return _together(self._ids)

    def by_content(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(M,) first bits of the digests of images that are encoded, their mixed ids, and their splits."""
        contents, ids = dict[str, np.ndarray](), dict[str, np.ndarray]()
        for split, of_split in self._ids.items():
            found = list(self._rows.contents(split))
            contents[split] = np.concatenate([_bits(content[there]) for _, content, there in found] or [_bits()])
            ids[split] = np.concatenate([of_split[s.start : s.stop][there] for s, _, there in found] or [_bits()])
        bits, splits = _together(contents)
        return bits, _together(ids)[0], splits


def with_splits_before(listed: Dataset, request: Request) -> Dataset:
    """The data set with images in the splits that they were in; as it is where its source divides it.

    Args:
        listed: All of it.
        request: Says where caches are.

    Raises:
        DataError: A class has nothing left to train on, or the system killed a process.
    """
    made = made_here(listed.provenance["split"])
    names = [name for name in made[0] if name in listed.splits]
    if not names:
        return listed
    caches = _of_the_same(listed, list_caches(request.root))
    ids = {name: mixed_bytes([Ids.of(listed.splits[name].ids)]) for name in names}
    there = [cache for cache in caches if _same_place(cache, listed) or _overlap(cache, ids) >= KIN]
    if all(_agrees(cache, listed, ids) for cache in there):
        return listed
    bits = _contents(listed, names, request.workers)
    before = {name: np.full(len(of_split), ELSEWHERE, np.int8) for name, of_split in ids.items()}
    tables = [(cache, cache.by_content()) for cache in there]
    used = list[Before]()
    for cache, (contents, their_ids, splits) in tables:  # the same file under the same id
        used += [cache] * _fill(before, {n: bits[n] ^ ids[n] for n in names}, contents ^ their_ids, splits)
    for cache, (contents, _, splits) in tables:  # the same file
        used += [cache] * _fill(before, bits, contents, splits)
    for cache in there:  # a file that has changed, or cannot be read
        if _same_place(cache, listed):
            used += [cache] * _fill(before, ids, *cache.by_id)
    told = [{key: cache.manifest[key] for key in ("name", "digest")} for cache in there if cache in used]
    return with_kept_splits(listed, before, told)


def in_splits_of(listed: Dataset, cache: EncodedRows) -> Dataset:
    """The data set in the splits and the order of a cache, by its ids; as it is listed where an id is there no more."""
    everything = Split(
        Ids.joined([Ids.of(part.ids) for part in listed.splits.values()]),
        np.concatenate([part.labels for part in listed.splits.values()]),
    )
    keys = mixed_bytes([Ids.of(everything.ids)])
    order = np.argsort(keys)
    splits = {}
    for split in cache.plan.rows:
        wanted = mixed_bytes([cache.ids(split)])
        at = np.searchsorted(keys[order], wanted).clip(max=len(keys) - 1)
        if not np.array_equal(keys[order][at], wanted):
            return listed
        splits[split] = everything.take(order[at])
    return replace(listed, splits=splits)


def _of_the_same(listed: Dataset, caches: Sequence[Listed]) -> list[Before]:
    """Caches of a data set of this name that was divided by the same seed, the newest first."""
    made, found = made_here(listed.provenance["split"]), []
    sound = [one for one in caches if not one.problem and "images" in one.manifest["request"]]
    for cache in sorted(sound, key=lambda one: str(one.manifest["created"]), reverse=True):
        same_name = cache.manifest["identity"]["dataset"]["name"] == listed.name
        if same_name and made_here(cache.manifest["provenance"].get("split", {})) == made:
            try:
                found.append(Before(cache))
            except UNUSABLE:
                continue
    return found


def _same_place(cache: Before, listed: Dataset) -> bool:
    return bool(cache.manifest["request"]["images"]["location"] == listed.location)


def _overlap(cache: Before, ids: Mapping[str, np.ndarray]) -> float:
    """How many of a cache's ids the listing has."""
    return float(np.isin(cache.by_id[0], np.concatenate(list(ids.values()))).mean())


def _agrees(cache: Before, listed: Dataset, ids: Mapping[str, np.ndarray]) -> bool:
    """Whether all images that a cache has are where they were, told without reading them."""
    now, splits = _together(ids)
    order = np.argsort(now)
    theirs, were = cache.by_id
    at = np.searchsorted(now[order], theirs).clip(max=len(now) - 1)
    ours = np.isin(were, [SPLITS.index(name) for name in ids])  # others are the source's own
    if not ((now[order][at] == theirs) & (splits[order][at] == were))[ours].all():
        return False
    if cache.manifest["identity"]["dataset"]["listing_sha256"] != listed.listing_sha256:
        return True
    same_sizes = cache.manifest["request"]["images"]["sizes_sha256"] == listed.sizes_digest()
    return same_sizes and not overwritten(cache.folder, cache.manifest, listed)


def _contents(listed: Dataset, names: Sequence[str], workers: int | None) -> dict[str, np.ndarray]:
    """(N,) first bits of the digest of each image's file; 0 where it cannot be read."""
    ids = {name: Ids.of(listed.splits[name].ids).padded for name in names}
    cut = [(n, range(s, min(s + PART, len(ids[n])))) for n in names for s in range(0, len(ids[n]), PART)]
    processes = cores_here() if workers is None else workers
    several = processes > 1 and sum(map(len, ids.values())) > ALONE
    digests = chain.from_iterable(look_at(listed.reader, ids, cut, processes if several else 0, content_of))
    found = {}
    for name in names:
        raw = b"".join(next(digests).ljust(CONTENT_BYTES, b"\0") for _ in range(len(ids[name])))
        found[name] = _bits(np.frombuffer(raw, np.uint8).reshape(-1, CONTENT_BYTES))
    return found


def _fill(
    before: Mapping[str, np.ndarray], keys: Mapping[str, np.ndarray], known: np.ndarray, splits: np.ndarray
) -> bool:
    """Fill in the splits of images whose keys are known and that have none yet; returns whether there were such."""
    order = np.argsort(known, kind="stable")
    if not len(order):
        return False
    known, splits, any_filled = known[order], splits[order], False
    for name, of_split in keys.items():
        at = np.searchsorted(known, of_split).clip(max=len(known) - 1)
        found = (known[at] == of_split) & (before[name] == ELSEWHERE) & (of_split != 0)
        before[name][found] = splits[at[found]]
        any_filled |= bool(found.any())
    return any_filled


def _bits(content: np.ndarray | None = None) -> np.ndarray:
    """(N,) uint64 of digests (N, 16)."""
    if content is None:
        return np.zeros(0, np.uint64)
    return np.ascontiguousarray(content[:, :8]).view("<u8")[:, 0]


def _together(of_splits: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Values of all splits, and the place in `SPLITS` of the split of each."""
    places = [np.full(len(values), SPLITS.index(split), np.int8) for split, values in of_splits.items()]
    return np.concatenate(list(of_splits.values())), np.concatenate(places)
