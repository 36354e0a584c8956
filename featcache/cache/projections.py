"""The matrices that an encoder's towers end with, kept beside what comes before them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from featcache.cache import layout
from featcache.cache.layout import DAMAGE, PROJECTION
from featcache.cache.manifest import PRE_PROJECTION
from featcache.errors import CacheIncomplete
from featcache.origin import made_by
from featcache.places.folder import Folder, array_in


def projections_digest(projections: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the matrices: of each, in the order of their names, the name, its shape and its numbers."""
    digest = hashlib.sha256()
    for name, values in sorted(projections.items()):
        digest.update(f"{name} {values.shape}\n".encode() + np.ascontiguousarray(values, "<f4").tobytes())
    return digest.hexdigest()


def write_projections(folder: Folder, projections: Mapping[str, np.ndarray]) -> None:
    """Write the matrices where those that are there are not the same."""
    if not projections or _there(folder) == projections_digest(projections):
        return
    folder.remove_folder(PROJECTION)
    group = folder.group("a").create_group(PROJECTION)
    for name, values in projections.items():
        group.create_array(name, **layout.projection(values.shape))[:] = values


def read_projections(folder: Folder, manifest: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
    """The matrices by name: `image` (P, D), `image_bias` (D,), `text` (E, D), as far as there are; None: not kept.

    Raises:
        CacheIncomplete: They are damaged.
    """
    kept = manifest["identity"].get(PRE_PROJECTION)
    if kept is None:
        return None
    found = _read(folder)
    if found is None or projections_digest(found) != kept["projections_sha256"]:
        where = folder.location
        message = f"{PROJECTION} of {where} is damaged; type `featcache verify {where} --repair`, then the same "
        raise CacheIncomplete(f"{message}`{made_by(manifest)}` command")
    return found


def whole_projection(projections: Mapping[str, np.ndarray]) -> np.ndarray:
    """(P, D) that takes what is before the image tower's projection to the embedding; the last row is a bias if any."""
    bias = projections.get("image_bias")
    return projections["image"] if bias is None else np.concatenate([projections["image"], bias[None]])


def before_it(features: np.ndarray, projections: Mapping[str, np.ndarray]) -> np.ndarray:
    """Features (..., P) as `whole_projection` takes them: with a 1 at the end where that has a bias."""
    if "image_bias" not in projections:
        return features
    return np.concatenate([features, np.ones_like(features[..., :1])], axis=-1)


def _there(folder: Folder) -> str:
    found = _read(folder)
    return "" if found is None else projections_digest(found)


def _read(folder: Folder) -> dict[str, np.ndarray] | None:
    try:
        group = folder.group("r")[PROJECTION]
        names = sorted(group.array_keys())  # type: ignore[union-attr]
        return {name: np.asarray(array_in(group, name)[:]) for name in names}  # type: ignore[arg-type]
    except DAMAGE:
        return None
