"""A split's listing as arrays: ids as padded bytes, and the digest that names ids and labels in order."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

CONTENT_BYTES = 16
"""Of the digest that tells an image file from another."""


def encode_ids(ids: Sequence[str]) -> np.ndarray:
    """(N,) strings as (N, W) uint8: UTF-8, padded with zero bytes to the longest (at least one column)."""
    encoded = np.array([name.encode() for name in ids], dtype=np.bytes_)
    if encoded.dtype.itemsize == 0:
        return np.zeros((len(ids), 1), np.uint8)
    return encoded.view(np.uint8).reshape(len(ids), encoded.dtype.itemsize)


def decode_ids(array: np.ndarray) -> np.ndarray:
    """(N, W) uint8 back to (N,) strings."""
    contiguous = np.ascontiguousarray(array)
    return np.char.decode(contiguous.view(f"S{contiguous.shape[1]}").reshape(-1), "utf-8")


def listing_digest(splits: Mapping[str, tuple[Sequence[str], np.ndarray]]) -> str:
    """SHA-256 over split names, ids and labels, in order; what a row number means in a cache."""
    sha = hashlib.sha256()
    for split, (ids, labels) in splits.items():
        sha.update(f"{split}\0{len(ids)}\0".encode())
        sha.update("\0".join(ids).encode())
        sha.update(np.ascontiguousarray(labels, dtype="<i8").tobytes())
    return sha.hexdigest()
