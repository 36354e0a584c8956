"""The second half of `verify`: encode a random sample again and compare it with the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from featcache.cache.encoded_rows import EncodedRows
from featcache.cache.layout import IMAGES, VIEWS
from featcache.cache.manifest import require_equal
from featcache.cache.plan import ShardPlan
from featcache.cache.reading import read_manifest
from featcache.datasets.dataset import Dataset
from featcache.encoders.of_identity import at_precision, encoder_of
from featcache.errors import ModelError
from featcache.extraction.growing.splits_before import in_splits_of
from featcache.extraction.job import Job
from featcache.extraction.request import dataset_identity, listed_again, request_of
from featcache.places.folder import Folder, array_in
from featcache.verification.found import Verification

COSINE_TOLERANCE = 1e-3  # of 1 - cosine: other machines and precisions round differently, other images do not


def verify_sample(
    folder: Folder, found: Verification, *, rows: int, seed: int, data_root: str | Path | None, device: str
) -> None:
    """Encode randomly chosen batches of about `rows` rows again and compare them with the store.

    Whole batches, composed as they were: on the machine that made the cache the bits come out the same.

    Args:
        folder: The cache's.
        found: What was found so far; what is found here is added.
        rows: How many, rounded up to whole batches.
        seed: Chooses the batches.
        data_root: Where the images are, if they moved since.
        device: Where to encode.

    Raises:
        DataError, ModelError: The images or the encoder cannot be found any more.
        CacheMismatch: The encoder or the listing is not the cache's own.
    """
    manifest = read_manifest(folder)
    identity, plan = manifest["identity"], ShardPlan.from_manifest(manifest)
    dataset = _original_dataset(folder, manifest, data_root)
    encoder = encoder_of(identity["encoder"], device=device)
    if encoder.draft is not None and encoder.device.type != identity["device"]:
        made_on, here = identity["device"], encoder.device.type
        message = f"{manifest['name']} was decoded fast on {made_on}, and {here} decodes to other pixels; "
        raise ModelError(f"{message}verify it on {made_on}, or type --sample 0")
    now = {"dataset": dataset_identity(dataset), "encoder": dict(encoder.identity)}
    kept = {"dataset": identity["dataset"], "encoder": at_precision(identity["encoder"], now["encoder"])}
    require_equal(kept, now, manifest["name"])
    job = Job.of(manifest, dataset, encoder, skip_unreadable=True, workers=0)
    batches = _sample_batches(plan, rows, seed)
    group = folder.group("r")
    for (split, part), (_, fresh) in zip(batches, job.encode(batches), strict=True):
        where = slice(part.start, part.stop)
        stored = np.asarray(array_in(group, split, IMAGES)[where])[:, None]
        if split in job.views:
            stored = np.concatenate([stored, np.asarray(array_in(group, split, VIEWS)[where])], axis=1)
        if worst := _compare(found, stored, fresh):
            row, problem = worst
            image_id = dataset.splits[split].ids[part[row]]
            found.problems.append(f"{split} row {part[row]} ({image_id}): {problem}")
            found.shards += [shard for shard in plan.shards(split) if shard.start <= part[row] < shard.stop]


def _original_dataset(folder: Folder, manifest: dict[str, Any], data_root: str | Path | None) -> Dataset:
    """The data set, listed again as the first run was asked to, with the images possibly elsewhere."""
    if "kept" in manifest["provenance"]["split"]:
        listed = request_of(manifest, data_root=data_root).listed()
        return in_splits_of(listed, EncodedRows(folder, manifest))
    return listed_again(manifest, data_root=data_root)


def _sample_batches(plan: ShardPlan, rows: int, seed: int) -> list[tuple[str, range]]:
    """Batches chosen among all, told by their numbers: of many rows even a list of the batches is long."""
    size = plan.batch_size
    ends = np.cumsum([-(-count // size) for count in plan.rows.values()])
    every = int(ends[-1])
    chosen = np.random.default_rng(seed).choice(every, size=min(every, -(-rows // size)), replace=False)
    found = []
    for number in sorted(chosen.tolist()):
        place = int(np.searchsorted(ends, number, side="right"))
        split, count = list(plan.rows.items())[place]
        start = (number - (int(ends[place - 1]) if place else 0)) * size
        found.append((split, range(start, min(start + size, count))))
    return found


def _compare(found: Verification, stored: np.ndarray, fresh: np.ndarray) -> tuple[int, str] | None:
    """Compare (B, 1 + V, D) stored and freshly encoded embeddings; returns the worst row and what is wrong with it."""
    same = np.array([a.tobytes() == b.tobytes() for a, b in zip(stored, fresh.astype(stored.dtype), strict=True)])
    found.sampled += len(stored)
    found.identical += int(same.sum())
    a, b = stored.astype(np.float64), fresh.astype(np.float64)
    readable = np.isnan(a).any(axis=(1, 2)) == np.isnan(b).any(axis=(1, 2))
    if not readable.all():
        return int(np.argmin(readable)), "it was readable then and is not now, or the other way round"
    cosine = (a * b).sum(-1) / np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-12)
    difference = np.nan_to_num(1 - cosine).max(axis=1)
    found.largest_difference = max(found.largest_difference or 0.0, float(difference.max()))
    worst = int(difference.argmax())
    if difference[worst] <= COSINE_TOLERANCE:
        return None
    return worst, f"1 - cosine to the stored embedding is {difference[worst]:.2g}; has the image changed?"
