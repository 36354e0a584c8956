"""Parquet: one row an image; the class names, prompts and the manifest are in the file's metadata.

Embeddings are float32, whatever the cache stores: half precision in Parquet is what some readers do not know yet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from featcache.array_names import EMBEDDINGS, IDS, LABELS, SPLITS
from featcache.exporting.content import Block, Content
from featcache.exporting.formats.formats import Told


def write_parquet(content: Content, path: Path, told: Told) -> None:
    """Write a cache as a table with the columns `ids`, `splits`, `labels` and `embeddings`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            (IDS, pa.string()),
            (SPLITS, pa.string()),
            (LABELS, pa.int64()),
            pa.field(EMBEDDINGS, pa.list_(pa.float32(), content.dim), nullable=False),
        ],
        metadata=content.facts(),
    )
    # A dictionary of embeddings, which hardly repeat, would only be given up again.
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=[SPLITS, LABELS]) as table:
        for block in content.blocks():
            table.write_batch(pa.record_batch([*words_of(block), lists_of(block.embeddings)], schema=schema))
            told(len(block.ids))


def words_of(block: Block) -> list[Any]:
    """The columns of ids, splits and labels of a block."""
    import pyarrow as pa

    count = len(block.ids)
    return [pa.array(list(block.ids)), pa.array([block.split] * count), pa.array(block.labels)]


def lists_of(embeddings: np.ndarray) -> Any:
    """(R, D) as a column of lists of D numbers."""
    import pyarrow as pa

    flat = np.ascontiguousarray(embeddings, np.float32).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), embeddings.shape[1])
