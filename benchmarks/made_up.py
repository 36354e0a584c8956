"""Manifests of caches whose embeddings no encoder made."""

from __future__ import annotations

from typing import Any

from featcache.cache.manifest import FORMAT
from featcache.records import digest
from featcache.utc import now


def manifest(name: str, dataset: dict[str, Any], plan: dict[str, Any], *, dim: int) -> dict[str, Any]:
    """A whole manifest.

    Args:
        name: of the cache.
        dataset: as `featcache.extraction.request.dataset_identity` gives it.
        plan: the cut into shards.
        dim: numbers an image, D.
    """
    words = ("architecture", "pretrained", "weights_sha256", "transform", "transform_sha256")
    encoder = {**dict.fromkeys(words, "made up"), "quick_gelu": False, "image_size": 1, "dim": dim}
    identity = {
        "dataset": dataset,
        "encoder": {**encoder, "precision": "fp32"},
        "views": None,
        "dtype": "float16",
        "batch_size": 256,
        "device": "cpu",
        "versions": {},
    }
    return {
        "format": FORMAT,
        "name": name,
        "created": now(),
        "digest": digest(identity),
        "identity": identity,
        "plan": plan,
        "request": {},
        "provenance": {},
    }
