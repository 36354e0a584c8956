"""clip-retrieval's folder: `img_emb/img_emb_0.npy`, … and `metadata/metadata_0.parquet`, …, a pair for each part.

Its index takes rows for unit vectors, so they are scaled to length 1 here and are no longer the cache's own. Captions
are the class names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from featcache.array_names import IDS, LABELS, SPLITS
from featcache.exporting.content import Block, Content
from featcache.exporting.formats.formats import Told
from featcache.exporting.formats.parquet import words_of
from featcache.places.folder import join

MOST_ROWS = 1_000_000
"""Rows of a part, at most: clip-retrieval's own `write_batch_size`."""


def write_clip_retrieval(content: Content, path: Path, told: Told) -> None:
    """Write a cache as such a folder, whose embeddings are float16."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for folder in ("img_emb", "metadata"):
        (path / folder).mkdir(parents=True)
    schema = pa.schema(
        [
            (IDS, pa.string()),
            (SPLITS, pa.string()),
            (LABELS, pa.int64()),
            ("image_path", pa.string()),
            ("caption", pa.string()),
        ],
        metadata=content.facts(),
    )
    images, names = str(content.cache.manifest["request"]["images"]["location"]), (*content.cache.class_names, "")
    blocks = _cut(content.blocks())
    parts = max(1, -(-content.total // MOST_ROWS))
    for part in range(parts):
        number, rows = f"{part:0{len(str(parts - 1))}d}", min(MOST_ROWS, content.total - part * MOST_ROWS)
        table = pq.ParquetWriter(path / "metadata" / f"metadata_{number}.parquet", schema, compression="zstd")
        with table, (path / "img_emb" / f"img_emb_{number}.npy").open("wb") as file:
            header = {"descr": "<f2", "fortran_order": False, "shape": (rows, content.dim)}
            np.lib.format.write_array_header_2_0(file, header)
            done = 0
            while done < rows:
                block = next(blocks)
                file.write(_unit(block.embeddings).tobytes())
                paths = pa.array([join(images, image_id) for image_id in block.ids])
                captions = pa.array([names[label] for label in block.labels.tolist()])
                table.write_batch(pa.record_batch([*words_of(block), paths, captions], schema=schema))
                done += len(block.ids)
                told(len(block.ids))


def _cut(blocks: Iterator[Block]) -> Iterator[Block]:
    """The same rows; no block goes on where a part ends."""
    done = 0
    for block in blocks:
        start = 0
        while start < len(block.ids):
            stop = min(len(block.ids), start + MOST_ROWS - done % MOST_ROWS)
            rows = slice(start, stop)
            yield Block(block.split, block.embeddings[rows], block.labels[rows], block.ids[rows])
            done, start = done + stop - start, stop


def _unit(embeddings: np.ndarray) -> np.ndarray:
    """(R, D) float16 of length 1; zeros stay zeros."""
    rows = embeddings.astype(np.float32)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), "<f2")
