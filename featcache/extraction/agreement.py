"""What a cache is made from, as it is here: the manifest of a new one, or the same as that of the one that is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from featcache.cache.layout import MANIFEST
from featcache.cache.manifest import FORMAT, PRE_PROJECTION, library_versions, require_equal
from featcache.cache.plan import ShardPlan
from featcache.cache.projections import projections_digest
from featcache.cache.reading import read_manifest
from featcache.cache.sealed import write_sealed
from featcache.datasets.dataset import Dataset
from featcache.encoders.encoder import Encoder
from featcache.encoders.of_identity import spelled_out
from featcache.encoding.speed import batch_sizes, default_batch_size, fastest
from featcache.extraction.request import Request, dataset_identity
from featcache.places.folder import Folder
from featcache.records import digest
from featcache.utc import now

Speed = Callable[[int], float]
"""Images a second of a run here, by its batch size."""


def agreed_manifest(
    request: Request, dataset: Dataset, folder: Folder, encoder: Encoder, speed: Speed
) -> dict[str, Any]:
    """The cache's manifest: a new one, or the one that is there if it describes the same numbers.

    Raises:
        CacheMismatch: There is one of something different.
    """
    asked = request.batch_size if isinstance(request.batch_size, int) else None
    if folder.exists(MANIFEST):
        old = read_manifest(folder)
        here = identity_of(request, dataset, encoder, asked or old["identity"]["batch_size"])
        require_equal(known_identity(old), here, old["name"])
        return old
    tried = batch_sizes(encoder) if request.batch_size == "auto" else {}
    batch_size = fastest(tried) if tried else asked or default_batch_size(encoder.device)
    identity = identity_of(request, dataset, encoder, batch_size)
    manifest = _new_manifest(request, dataset, folder, encoder, speed, identity)
    if tried:
        manifest["plan"]["batch_sizes"] = {str(size): round(rate, 2) for size, rate in tried.items()}
    write_sealed(folder, MANIFEST, manifest)
    return manifest


def identity_of(request: Request, dataset: Dataset, encoder: Encoder, batch_size: int) -> dict[str, Any]:
    """Everything that could change a number, as it is here."""
    return {
        "dataset": dataset_identity(dataset),
        "encoder": dict(encoder.identity),
        "views": request.views_identity(),
        **({PRE_PROJECTION: pre_projection_identity(encoder)} if request.keep else {}),
        "dtype": request.dtype,
        "batch_size": batch_size,
        "device": encoder.device.type,
        "versions": library_versions(),
    }


def pre_projection_identity(encoder: Encoder) -> dict[str, Any]:
    """What is kept of what comes before an encoder's last projection: its width P, and a digest of the matrices."""
    return {"width": encoder.width - encoder.dim, "projections_sha256": projections_digest(encoder.projections)}


def known_identity(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The identity that a manifest records, with what older versions left unsaid."""
    identity = manifest["identity"]
    return {**identity, "encoder": spelled_out(identity["encoder"])}


def _new_manifest(
    request: Request, dataset: Dataset, folder: Folder, encoder: Encoder, speed: Speed, identity: dict[str, Any]
) -> dict[str, Any]:
    batch_size = identity["batch_size"]
    rate = speed(batch_size)
    plan = ShardPlan.for_speed(
        identity["dataset"]["rows"],
        batch_size=batch_size,
        rows_per_second=rate / (1 + request.views),
        bytes_per_row=4 * encoder.width * (1 + request.views),
    )
    return {
        "format": FORMAT,
        "name": request.cache_name(dataset),
        "created": now(),
        "digest": digest(identity),
        "identity": identity,
        "plan": {
            "rows": plan.rows,
            "rows_per_shard": plan.rows_per_shard,
            "rows_per_chunk": plan.rows_per_chunk,
            "images_per_second": round(rate, 2),
            "seals": True,
        },
        "request": request.fingerprint(dataset),
        "provenance": {
            **dataset.provenance,
            "prompt_sets": {name: spec.to_json() for name, spec in dataset.prompts.items()},
            "default_prompts": dataset.default_prompts,
            "request": request.dataset_json(dataset),
        },
    }
