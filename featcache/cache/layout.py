"""Where everything of a cache lies and how it is stored: docs/format.md in code, and the only file that knows it.

manifest.json, complete.json     what it is made from; that it is finished
<split>/images, views, state     embeddings in shards; which rows are done
<split>/pre_images, pre_views    what comes before the last projection, where that is kept
<split>/content                  a digest of each image file
<split>/seals                    a digest of each shard
<split>/ids, labels              the listing
projection/image, image_bias, text the matrices after it
text/index.json, text/<set>-…    the prompt sets, each a group with `features`
bad/<split>-<row>.json           the unreadable images of a shard
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from zarr.codecs import Crc32cCodec, ZstdCodec

from featcache.cache.plan import Shard, ShardPlan
from featcache.cache.sealed import SEAL_BYTES
from featcache.ids import CONTENT_BYTES

MANIFEST, COMPLETE = "manifest.json", "complete.json"
ROOT_GROUP = "zarr.json"
IMAGES, VIEWS, STATE, IDS, LABELS = "images", "views", "state", "ids", "labels"
PRE_IMAGES, PRE_VIEWS = "pre_images", "pre_views"
CONTENT, SEALS = "content", "seals"
PROJECTION = "projection"
TEXT, TEXT_INDEX, TEXT_FEATURES = "text", "text/index.json", "features"
BAD = "bad"

GROUP = {"attributes": {}, "zarr_format": 3, "node_type": "group"}
"""What Zarr keeps of a group."""
MISSING, UNREADABLE, ENCODED = -1, 0, 1
"""States of a row: not done yet; its image cannot be read; it has an embedding."""
UNLABELLED = -1
"""The label of an image that has none."""
ROW = "row"
"""The dimension that the arrays of a split share."""
DAMAGE = (ValueError, TypeError, KeyError, ArithmeticError, RuntimeError, OSError)
"""What Zarr raises for a chunk or its metadata that is broken."""

EMBEDDINGS = (IMAGES, VIEWS, PRE_IMAGES, PRE_VIEWS)
"""Arrays of what an encoder made of the images, as far as a split has them, in the order of writing."""

_AXES_BESIDE_ROWS = {IMAGES: 1, VIEWS: 2, PRE_IMAGES: 1, PRE_VIEWS: 2, CONTENT: 1, SEALS: 1, STATE: 0}

LISTING_ROWS = 65_536
"""Rows of a chunk of ids and labels, at most."""


def array(group: str, name: str) -> str:
    """Where an array of a split or of a prompt set is."""
    return f"{group}/{name}"


def chunk(shard: Shard, name: str, plan: ShardPlan) -> str:
    """The file of a shard of an array, which is whole along every axis but the rows."""
    return "/".join(
        [array(shard.split, name), "c", str(shard.start // plan.rows_per_shard), *"0" * _AXES_BESIDE_ROWS[name]]
    )


def rows(shard: Shard, name: str, plan: ShardPlan) -> slice:
    """Where a shard is in an array: its rows, or its number where the array has a row a shard."""
    number = shard.start // plan.rows_per_shard
    return slice(number, number + 1) if name == SEALS else slice(shard.start, shard.stop)


def bad_file(shard: Shard) -> str:
    """The file that lists the unreadable images of a shard."""
    return f"{BAD}/{shard.split}-{shard.start}.json"


def shard_of(bad_name: str, plan: ShardPlan) -> Shard | None:
    """The shard whose unreadable images a file in `BAD` lists; None if it is no such file."""
    split, _, start = bad_name.removesuffix(".json").rpartition("-")
    shards = plan.shards(split) if split in plan.rows else ()
    return next((shard for shard in shards if str(shard.start) == start), None)


def metadata_files(splits: Iterable[str], arrays: Iterable[str]) -> list[str]:
    """Where Zarr keeps what it knows of splits, and of these arrays of each."""
    return [f"{place}/{ROOT_GROUP}" for split in splits for place in (split, *(array(split, name) for name in arrays))]


def listing_files(rows: Mapping[str, int]) -> list[str]:
    """The chunks of ids and labels of splits of so many rows."""
    return [
        f"{array(split, name)}/c/{number}{'/0' * axes}"
        for split, count in rows.items()
        for name, axes in ((IDS, 1), (LABELS, 0))
        for number in range(-(-count // LISTING_ROWS))
    ]


def text_group(name: str, token: str) -> str:
    """The group of one writing of a prompt set."""
    return f"{TEXT}/{name}-{token}"


def embeddings(shape: tuple[int, ...], plan: ShardPlan, dtype: str) -> dict[str, Any]:
    """How embeddings (N, D) or (N, V, D) are stored."""
    tail = shape[1:]
    return {
        "shape": shape,
        "shards": (plan.rows_per_shard, *tail),
        "chunks": (plan.rows_per_chunk, *tail),
        "dtype": dtype,
        "fill_value": np.nan,
        "compressors": Crc32cCodec(),
        "dimension_names": (ROW, "feature") if len(shape) == 2 else (ROW, "view", "feature"),
    }


def contents(rows: int, plan: ShardPlan) -> dict[str, Any]:
    """How the digests (N, 16) of image files are stored."""
    return {
        "shape": (rows, CONTENT_BYTES),
        "chunks": (plan.rows_per_shard, CONTENT_BYTES),
        "dtype": "uint8",
        "fill_value": 0,
        "compressors": Crc32cCodec(),
        "dimension_names": (ROW, "content_byte"),
    }


def states(rows: int, plan: ShardPlan) -> dict[str, Any]:
    """How the states (N,) of rows are stored."""
    return {
        "shape": (rows,),
        "chunks": (plan.rows_per_shard,),
        "dtype": "int8",
        "fill_value": MISSING,
        "compressors": Crc32cCodec(),
        "dimension_names": (ROW,),
    }


def seals(rows: int, plan: ShardPlan) -> dict[str, Any]:
    """How the seals (S, 32) of S shards are stored."""
    return {
        "shape": (-(-rows // plan.rows_per_shard), SEAL_BYTES),
        "chunks": (1, SEAL_BYTES),
        "dtype": "uint8",
        "fill_value": 0,
        "compressors": Crc32cCodec(),
        "dimension_names": ("shard", "seal_byte"),
    }


def ids(rows: int, width: int) -> dict[str, Any]:
    """How ids (N, W) are stored: UTF-8, padded with zero bytes."""
    return _listing((rows, width), "uint8", 0, (ROW, "id_byte"))


def labels(rows: int) -> dict[str, Any]:
    """How labels (N,) are stored."""
    return _listing((rows,), "int64", UNLABELLED, (ROW,))


def projection(shape: tuple[int, ...]) -> dict[str, Any]:
    """How a matrix, or the bias, of a projection is stored."""
    return {
        "shape": shape,
        "chunks": shape,
        "dtype": "float32",
        "fill_value": np.nan,
        "compressors": Crc32cCodec(),
        "dimension_names": ("before", "feature")[-len(shape) :],
    }


def text_features(shape: tuple[int, ...]) -> dict[str, Any]:
    """How the embeddings (C, T, D) of a prompt set are stored."""
    return {
        "shape": shape,
        "chunks": shape,
        "dtype": "float32",
        "fill_value": np.nan,
        "compressors": Crc32cCodec(),
        "dimension_names": ("class", "prompt", "feature"),
    }


def _listing(shape: tuple[int, ...], dtype: str, fill_value: int, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "shape": shape,
        "chunks": (min(shape[0], LISTING_ROWS), *shape[1:]),
        "dtype": dtype,
        "fill_value": fill_value,
        "compressors": ZstdCodec(level=3, checksum=True),
        "dimension_names": names,
    }
