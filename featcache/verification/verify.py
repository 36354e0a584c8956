"""`verify`: prove from the store itself that a cache is complete and undamaged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.group import GroupMetadata
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata

from featcache.cache import layout
from featcache.cache.layout import (
    BAD,
    COMPLETE,
    CONTENT,
    DAMAGE,
    EMBEDDINGS,
    ENCODED,
    IDS,
    IMAGES,
    LABELS,
    MISSING,
    PROJECTION,
    ROOT_GROUP,
    SEALS,
    STATE,
    TEXT_FEATURES,
    TEXT_INDEX,
    UNREADABLE,
    shard_of,
)
from featcache.cache.manifest import BEFORE
from featcache.cache.plan import Shard, ShardPlan
from featcache.cache.projections import read_projections
from featcache.cache.reading import read_completion, read_manifest
from featcache.cache.sealed import ShardSeal, seals_shards
from featcache.cache.text_sets import TextIndex
from featcache.cache.writing import CacheStore
from featcache.errors import CacheError
from featcache.ids import Ids, listing_digest
from featcache.origin import has_text, imported, made_by
from featcache.places.folder import Folder, array_in
from featcache.places.lock import writing
from featcache.records import parse_json
from featcache.verification.found import Verification

ARRAYS = (*EMBEDDINGS, CONTENT, SEALS, STATE, IDS, LABELS)
"""Of a split, as far as it has them."""


def verify(
    folder: Folder,
    *,
    sample: int = 64,
    data_root: str | Path | None = None,
    repair: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> Verification:
    """Check a cache from end to end.

    Args:
        folder: The cache's.
        sample: Rows to encode again; 0 needs neither the encoder nor the images. Nothing of an imported cache is.
        data_root: Where the images are, if they moved since.
        repair: Remove what is damaged, and the records of unreadable images, so that the same `extract` command
            encodes them again.
        seed: Chooses the sample.
        device: Where to encode.

    Raises:
        DataError, ModelError: The images or the encoder cannot be found any more.
        CacheMismatch: They can, but are not those that made the cache.
    """
    found = verify_store(folder)
    if sample and not found.problems and not found.imported:
        from featcache.verification.reencoding import verify_sample

        verify_sample(folder, found, rows=sample, seed=seed, data_root=data_root, device=device)
    if repair:
        _repair(folder, found)
    return found


def verify_store(folder: Folder) -> Verification:
    """Check every row of every array: completeness, checksums, and the listing's digest.

    Reads the whole cache once; loads no encoder.
    """
    manifest = read_manifest(folder)
    plan = ShardPlan.from_manifest(manifest)
    found = Verification(
        rows=dict(plan.rows),
        finished=folder.exists(COMPLETE),
        made_by=made_by(manifest),
        imported=imported(manifest) is not None,
    )
    _check_file(COMPLETE, lambda: read_completion(folder), found)
    _check_file(TEXT_INDEX, lambda: TextIndex(folder), found)
    if not folder.exists(ROOT_GROUP):
        found.missing = sum(plan.rows.values())
        found.problems.append(f"nothing is encoded yet: type the same `{found.made_by}` command again")
        return found
    _check_file(ROOT_GROUP, lambda: _check_consolidated(folder, plan, finished=found.finished), found)
    _check_digests(folder, found)
    if ROOT_GROUP in found.files:
        return found
    group, lost = folder.group("r"), list[Shard]()
    for split in plan.rows:
        metadata = [name for name in found.files if name.startswith(f"{split}/") and name.endswith(ROOT_GROUP)]
        if metadata:  # chunks mean nothing until that is mended
            continue
        if not _has_rows(group, split, plan.rows[split]):
            found.problems.append(f"{split} has not the {plan.rows[split]:,} rows that the manifest tells of")
            continue
        for shard in plan.shards(split):
            before = found.missing
            _check_shard(group, shard, manifest, found)
            lost += [shard] if found.missing > before else []
    if lost:
        total = sum(plan.rows.values())
        again = f"are still to do: type the same `{found.made_by}` command again"
        what = f"are missing, first in {lost[0]}" if found.finished else again
        found.problems.append(f"{found.missing:,} of {total:,} rows {what}")
    elif not found.finished:
        found.problems.append(f"the run was not finished: type the same `{found.made_by}` command again")
    _check_listing(group, manifest, found)
    _check_projections(folder, manifest, found)
    if TEXT_INDEX not in found.files:
        _check_prompt_sets(folder, manifest, found)
    return found


def _repair(folder: Folder, found: Verification) -> None:
    """Remove what is damaged or unreadable; the next `extract` finds it missing."""
    manifest = read_manifest(folder)
    plan = ShardPlan.from_manifest(manifest)
    with writing(folder):
        if found.files:
            folder.remove(COMPLETE, *found.files)
        store = CacheStore(folder, manifest)
        for name in found.files:
            if name.startswith(f"{layout.TEXT}/") and name != TEXT_INDEX:
                folder.write_json(name, layout.GROUP)
            if shard := shard_of(name.removeprefix(f"{BAD}/"), plan):
                store.forget(shard)
        for shard in found.shards:
            store.forget(shard)
        for name in folder.names(BAD):
            if shard := shard_of(name, plan):
                store.forget(shard)
                found.repaired = True
        for split in found.listings:
            store.forget_listing(split)
        if found.projections:
            folder.remove(COMPLETE)
            folder.remove_folder(PROJECTION)
        for name in found.prompt_sets:
            folder.remove(COMPLETE)
            TextIndex(folder).forget(name)
    found.repaired |= found.damaged


def _check_file(name: str, read: Callable[[], object], found: Verification) -> None:
    try:
        read()
    except CacheError:
        found.problems.append(f"{name} is damaged")
        found.files.append(name)


def _check_digests(folder: Folder, found: Verification) -> None:
    """Compare the small files that have no digest in them with those that `complete.json` names."""
    if not found.finished or COMPLETE in found.files:
        return
    kept = (read_completion(folder) or {}).get("files", {})
    for name in sorted({*kept, *(layout.array(BAD, name) for name in folder.names(BAD) if kept)}):
        try:
            now = hashlib.sha256(folder.read(name)).hexdigest()
        except OSError:
            now = ""
        if now != kept.get(name) and name not in found.files:
            found.problems.append(f"{name} is damaged")
            found.files.append(name)


def _check_consolidated(folder: Folder, plan: ShardPlan, *, finished: bool) -> None:
    """Open the group, and compare what it says of the arrays of a finished cache with what they say themselves.

    Raises:
        CacheError: It is damaged.
    """
    consolidated = folder.group("r", finished=finished)
    if not finished:
        return
    said = folder.read_json(ROOT_GROUP)
    if not _understood(said, consolidated.metadata):
        raise CacheError(f"{folder.location} says what no group has")
    named = said.get("consolidated_metadata", {}).get("metadata", {})
    arrays = [layout.array(split, name) for split in plan.rows for name in ARRAYS] if named else []
    for place in dict.fromkeys([*named, *arrays]):
        try:
            own = folder.find_json(layout.array(place, ROOT_GROUP))
            same = (own is None) == (place not in named)
            if same and own is not None and own["node_type"] == "array" and own != named[place]:
                same = _metadata(folder.group("r"), place) == _metadata(consolidated, place)
        except (*DAMAGE, CacheError):  # of the array's own, which is told where it is read
            continue
        if not same:
            raise CacheError(f"{folder.location} says other things of its arrays than they themselves")


def _metadata(group: zarr.Group, place: str) -> str:
    """Of an array, in full; text, since a fill value of NaN equals none."""
    return str(array_in(group, place).metadata.to_dict())


def _understood(said: Any, metadata: GroupMetadata | ArrayV2Metadata | ArrayV3Metadata) -> bool:
    """Whether all that a file of metadata says is in what Zarr made of it, which leaves out what it does not know."""
    kept = parse_json(metadata.to_buffer_dict(default_buffer_prototype())[ROOT_GROUP].to_bytes())
    return _within(said, kept)


def _within(said: Any, kept: Any) -> bool:
    if isinstance(said, dict) and isinstance(kept, dict):
        return all(key in kept and _within(value, kept[key]) for key, value in said.items())
    if isinstance(said, list) and isinstance(kept, list):
        return len(said) == len(kept) and all(map(_within, said, kept))
    return bool(said == kept)


def _has_rows(group: zarr.Group, split: str, rows: int) -> bool:
    """Whether there are so many states; damaged metadata is told where it is read."""
    try:
        return bool(array_in(group, split, STATE).shape == (rows,))
    except DAMAGE:
        return True


def _check_shard(group: zarr.Group, shard: Shard, manifest: dict[str, Any], found: Verification) -> None:
    """Add what is wrong with one shard."""
    try:
        state = np.asarray(array_in(group, shard.split, STATE)[shard.start : shard.stop])
        if missing := int((state == MISSING).sum()):
            found.missing += missing
            if found.finished:
                found.shards.append(shard)
            return
        found.unreadable += int((state == UNREADABLE).sum())
        problem = _shard_problem(group, shard, state, manifest)
    except DAMAGE as error:
        problem = f"damaged ({error})"
    if problem:
        found.problems.append(f"{shard}: {problem}")
        found.shards.append(shard)


def _shard_problem(group: zarr.Group, shard: Shard, state: np.ndarray, manifest: dict[str, Any]) -> str | None:
    plan, seal = ShardPlan.from_manifest(manifest), ShardSeal(manifest["digest"], shard)

    def read(name: str) -> np.ndarray:
        return np.asarray(array_in(group, shard.split, name)[layout.rows(shard, name, plan)])

    there = [name for name in EMBEDDINGS[1:] if layout.array(shard.split, name) in group]
    for name in [IMAGES, *there, *([] if manifest["format"] == BEFORE else [CONTENT])]:
        values = read(name)
        problem = _content_problem(values, state) if name == CONTENT else _values_problem(name, values, state)
        if problem:
            return problem
        seal.add(name, values)
    seal.add(STATE, state)
    if seals_shards(manifest) and not np.array_equal(read(SEALS), seal.digest()[None]):
        return "not what was written: a chunk was replaced, or took another's place"
    return None


def _values_problem(name: str, values: np.ndarray, state: np.ndarray) -> str | None:
    empty = np.isnan(values).reshape(len(values), -1)
    if not np.isfinite(values[state == ENCODED]).all():
        return f"{name} has rows that are marked as encoded and hold no numbers"
    if not empty[state == UNREADABLE].all():
        return f"{name} has rows that are marked as unreadable and hold numbers"
    return None


def _content_problem(content: np.ndarray, state: np.ndarray) -> str | None:
    if not content[state == ENCODED].any(axis=1).all():
        return f"{CONTENT} has rows that are marked as encoded and hold no digest"
    return None


def _check_listing(group: zarr.Group, manifest: dict[str, Any], found: Verification) -> None:
    listing = {}
    for split in found.rows:
        try:
            ids = np.asarray(array_in(group, split, IDS)[:])
            listing[split] = (Ids(ids), np.asarray(array_in(group, split, LABELS)[:]))
        except DAMAGE as error:
            found.problems.append(f"{split}: ids or labels are damaged ({error})")
            found.listings.append(split)
    if not found.listings and listing_digest(listing) != manifest["identity"]["dataset"]["listing_sha256"]:
        found.problems.append("ids and labels are not those of the listing that the manifest names")
        found.listings += found.rows


def _check_projections(folder: Folder, manifest: dict[str, Any], found: Verification) -> None:
    try:
        read_projections(folder, manifest)
    except CacheError:
        found.problems.append(f"{PROJECTION}: damaged")
        found.projections = True


def _check_prompt_sets(folder: Folder, manifest: dict[str, Any], found: Verification) -> None:
    index = TextIndex(folder)
    classes = tuple(manifest["identity"]["dataset"]["class_names"])
    speaks = has_text(manifest["identity"]["encoder"])
    if classes and speaks and not index.names and found.finished:
        found.problems.append(f"there are no class-text embeddings: type the same `{found.made_by}` command again")
    for name in index.names:
        try:
            index.read(classes, name)
            array = layout.array(index.group(name), TEXT_FEATURES)
            metadata = array_in(folder.group("r"), array).metadata
            if not _understood(folder.read_json(layout.array(array, ROOT_GROUP)), metadata):
                raise CacheError(f"the metadata of {array} is damaged")
        except CacheError:
            found.problems.append(f"prompt set {name}: damaged")
            found.prompt_sets.append(name)
    for group in index.groups:
        place = layout.array(group, ROOT_GROUP)
        _check_file(place, lambda place=place: _check_group(folder, place), found)  # type: ignore[misc]


def _check_group(folder: Folder, place: str) -> None:
    """Raises CacheError if what Zarr keeps of a group of texts is not what it writes."""
    if folder.find_json(place) != layout.GROUP:
        raise CacheError(f"{place} is damaged")
