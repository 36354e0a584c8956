"""Which cache a data set goes to: its own, or, where its images have changed since, the next one of that name.

`photos-tiny` stays what it is, and so does what was made from it; the data set as it is now goes to `photos-tiny-2`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from featcache.cache.layout import COMPLETE, MANIFEST
from featcache.cache.manifest import different, require_equal
from featcache.cache.reading import read_manifest
from featcache.datasets.dataset import Dataset
from featcache.extraction.growing.overwritten import overwritten
from featcache.extraction.growing.splits_before import with_splits_before
from featcache.extraction.request import Request
from featcache.places.folder import Folder, join
from featcache.places.home import caches_location

IMAGES = ("dataset.listing_sha256", "dataset.rows", "images.")
"""What differs, as `different` names it, where images were added, changed, moved or removed."""
WITH_IMAGES = ("dataset.class_names", *IMAGES)
"""What may differ then."""


@dataclass(frozen=True)
class Placed:
    """What is made, and where.

    Attributes:
        request: What was asked for, with the cache's name.
        dataset: The data set, with images in the splits that they were in.
        folder: The cache's.
        instead_of: The cache of that name, which is of other images; None where there is none.
    """

    request: Request
    dataset: Dataset
    folder: Folder
    instead_of: str | None = None


def place(request: Request) -> Placed:
    """List the data set that was asked for, and find its cache or the place of a new one.

    Raises:
        DataError: The data set cannot be listed.
        CacheMismatch: There is a cache of that name that was made from something else than other images.
    """
    listed = request.listed()
    dataset = request.cut(listed)
    name = request.cache_name(dataset)
    folder = _folder(request, name)
    if _is_of(folder, request, dataset):
        return Placed(request, dataset, folder)
    dataset = request.cut(with_splits_before(listed, request))
    there = folder.exists(MANIFEST)
    if request.name or (there and not _has_changed(folder, request, dataset)):
        if there:
            _require_same(folder, request, dataset)
        return Placed(request, dataset, folder)
    numbers = [1, *_numbers(request, name)] if there else _numbers(request, name)
    for number in reversed(numbers):  # the newest first
        found = _folder(request, _numbered(name, number))
        if _is_of(found, request, dataset):
            before = name if there and number > 1 else None
            return Placed(replace(request, name=_numbered(name, number)), dataset, found, before)
    if not there:
        return Placed(request, dataset, folder)
    following = _numbered(name, max(numbers) + 1)
    return Placed(replace(request, name=following), dataset, _folder(request, following), name)


def _require_same(folder: Folder, request: Request, dataset: Dataset) -> None:
    """Refuse a cache that was made from something else; told from JSON alone, before any model is loaded.

    Raises:
        CacheMismatch: Names the difference.
    """
    manifest = read_manifest(folder)
    require_equal(*_compared(folder, manifest, request, dataset), manifest["name"])


def _compared(
    folder: Folder, manifest: Mapping[str, Any], request: Request, dataset: Dataset
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a cache was made from, and what is asked for, as far as either decides."""
    identity, kept = manifest["identity"], dict(manifest["request"])
    kept |= {"precision": identity["encoder"]["precision"], "batch_size": identity["batch_size"]}
    asked = request.fingerprint(dataset) | {
        "precision": kept["precision"] if request.precision == "auto" else request.precision,
        "batch_size": kept["batch_size"] if request.batch_size in (None, "auto") else request.batch_size,
    }
    for made in (kept, asked):  # which is left out where it is exact, as before there was a choice
        made.setdefault("decode", "exact")
    # Images may move, and while a cache is unfinished one may be mended where it is. Another folder with other files
    # is another data set, and of a finished cache another file is another image.
    finished = folder.exists(COMPLETE)
    same = {key for key in kept["images"] if asked["images"].get(key) == kept["images"][key]}
    if "sizes_sha256" in same or (same and not finished):
        asked["images"] = kept["images"]
    if finished and asked == kept and overwritten(folder, manifest, dataset):
        asked["images"] = {**kept["images"], "files": "changed"}
    return kept, asked


def _is_of(folder: Folder, request: Request, dataset: Dataset) -> bool:
    """Whether there is a cache, and of this."""
    try:
        manifest = read_manifest(folder)
    except FileNotFoundError:
        return False
    return not list(different(*_compared(folder, manifest, request, dataset)))


def _has_changed(folder: Folder, request: Request, dataset: Dataset) -> bool:
    """Whether a cache answers the same question, and nothing but the images has changed since."""
    manifest = read_manifest(folder)
    if manifest["provenance"].get("request") != request.dataset_json(dataset):
        return False
    keys = [key for key, _, _ in different(*_compared(folder, manifest, request, dataset))]
    return any(key.startswith(IMAGES) for key in keys) and all(key.startswith(WITH_IMAGES) for key in keys)


def _folder(request: Request, name: str) -> Folder:
    return Folder(join(caches_location(request.root), name))


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _numbers(request: Request, name: str) -> list[int]:
    """The numbers of the caches that came after that of a name, ascending."""
    names = Folder(caches_location(request.root)).names()
    return sorted(int(found[1]) for one in names if (found := re.fullmatch(rf"{re.escape(name)}-([1-9]\d*)", one)))
