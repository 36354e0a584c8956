"""Whether image files were written since a cache of them was begun, and are others now: sizes alone may not tell."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from featcache.cache.encoded_rows import UNUSABLE, EncodedRows
from featcache.ids import CONTENT_BYTES
from featcache.images.content import content_of
from featcache.places.folder import Folder

if TYPE_CHECKING:
    from featcache.datasets.dataset import Dataset


def overwritten(folder: Folder, manifest: Mapping[str, Any], dataset: Dataset) -> bool:
    """Whether a file is another one than that of its row; only those are read that were written since.

    Args:
        folder: The cache's, of the same listing.
        manifest: Its manifest.
        dataset: The data set; where its reader knows no times, nothing is told.
    """
    if not hasattr(dataset.reader, "written_since"):
        return False
    began = datetime.fromisoformat(str(manifest["created"])).timestamp()
    for split, part in dataset.splits.items():
        rows = np.flatnonzero(np.fromiter(dataset.reader.written_since(part.ids, began), bool, len(part)))
        if not len(rows):
            continue
        try:
            contents = EncodedRows(folder, manifest).digests(split, rows)
        except UNUSABLE:
            return False
        for row, content in zip(rows.tolist(), contents, strict=True):
            if content_of(dataset.reader, part.ids[row]).ljust(CONTENT_BYTES, b"\0") != content.tobytes():
                return True
    return False
