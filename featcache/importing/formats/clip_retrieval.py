"""clip-retrieval's folder: `img_emb/img_emb_0.npy`, … and `metadata/metadata_0.parquet`, …, one pair for each part.

Its embeddings are float16 rows of unit length. `image_path` names the images; a label is there only where the
metadata that clip-retrieval was given had a column of them.
"""

from __future__ import annotations

import re
from pathlib import Path

from featcache.errors import DataError
from featcache.importing.formats.arrays import Arrays, joined
from featcache.importing.formats.npy import mapped
from featcache.importing.formats.parquet import tables

EMBEDDINGS, METADATA = "img_emb", "metadata"


def recognises(path: Path) -> bool:
    """A folder with a folder of embeddings."""
    return (path / EMBEDDINGS).is_dir()


def open_clip_retrieval(path: Path) -> Arrays:
    """The embeddings of all parts, and the columns of their metadata.

    Raises:
        DataError: A part is damaged, lacks its metadata, or has another number of rows than it.
    """
    parts = _numbered(path / EMBEDDINGS, ".npy")
    if not parts:
        raise DataError(f"{path / EMBEDDINGS} holds no .npy: give the folder that `clip-retrieval inference` wrote")
    embeddings = {number: mapped(EMBEDDINGS, file) for number, file in parts.items()}
    columns = {EMBEDDINGS: joined(EMBEDDINGS, list(embeddings.values()), path)}
    beside = _numbered(path / METADATA, ".parquet") if (path / METADATA).is_dir() else {}
    if not beside:
        return Arrays(path, columns)
    for number, column in embeddings.items():
        if number not in beside:
            raise DataError(f"{path} lacks the metadata of {parts[number].name}: copy the whole folder")
        rows = len(next(iter(tables([beside[number]], path).columns.values())))
        if rows != len(column):
            raise DataError(
                f"{parts[number].name} has {len(column):,} rows and {beside[number].name} {rows:,}: they are of "
                "different runs; run clip-retrieval again"
            )
    table = tables([beside[number] for number in parts], path)
    return Arrays(path, {**columns, **table.columns}, table.facts)


def _numbered(folder: Path, suffix: str) -> dict[int, Path]:
    """Files of a folder by the number at the end of their names, in that order."""
    found = {int(match[1]): file for file in folder.glob(f"*{suffix}") if (match := re.search(r"(\d+)$", file.stem))}
    return dict(sorted(found.items()))
