"""NumPy's `.npz`: a zip of arrays, each written a block of rows at a time."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from featcache.array_names import CLASS_NAMES, EMBEDDINGS, IDS, LABELS, SCALE, SPLITS, TEXT
from featcache.exporting.content import Content
from featcache.exporting.formats.formats import Told
from featcache.ids import decode_ids


def write_npz(content: Content, path: Path, told: Told) -> None:
    """Write a cache as arrays: the rows of all splits in order; `text` (C, T, D) is NaN where there is no prompt."""
    rows, letters = content.total, max(content.id_bytes.values())
    names, ids = np.dtype(f"<U{max(map(len, content.cache.splits))}"), np.dtype(f"<U{letters}")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        _write(archive, EMBEDDINGS, (rows, content.dim), content.dtype, _told(content, told))
        _write(archive, LABELS, (rows,), np.dtype("<i8"), (block.labels for block in content.blocks()))
        _write(archive, IDS, (rows,), ids, (decode_ids(block.ids.padded).astype(ids) for block in content.blocks()))
        splits = (np.full(count, split, names) for split, count in content.rows.items())
        _write(archive, SPLITS, (rows,), names, splits)
        facts = {name: np.array(fact) for name, fact in content.facts().items()}
        small = {
            **facts,
            CLASS_NAMES: np.array(content.cache.class_names),
            TEXT: content.text.features,
            SCALE: np.array(content.text.logit_scale),
        }
        for name, array in small.items():
            _write(archive, name, array.shape, array.dtype, [array])


def _told(content: Content, told: Told) -> Iterable[np.ndarray]:
    for block in content.blocks():
        yield block.embeddings
        told(len(block.ids))


def _write(
    archive: zipfile.ZipFile,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
    parts: Iterable[np.ndarray],
) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_2_0(member, header)
        for part in parts:
            member.write(np.ascontiguousarray(part).tobytes())
