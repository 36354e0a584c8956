"""What Zarr keeps of each array follows from the manifest: readers hold it to that, for it decides what bytes mean."""

from __future__ import annotations

from typing import Any

import zarr
from zarr.storage import MemoryStore

from featcache.cache import layout
from featcache.cache.layout import CONTENT, IDS, IMAGES, LABELS, PRE_IMAGES, PRE_VIEWS, STATE, VIEWS
from featcache.cache.manifest import pre_width
from featcache.cache.plan import ShardPlan
from featcache.errors import CacheIncomplete
from featcache.origin import made_by


class Expected:
    """How the arrays of a split must be stored.

    Args:
        manifest: the cache's.
        split: which.
        labelled: rows that have a label; None where an older version did not count them.

    Attributes:
        made_by: the command that made the cache.
    """

    def __init__(self, manifest: dict[str, Any], split: str, labelled: int | None = None) -> None:
        self.labelled = labelled
        self.made_by = made_by(manifest)
        self._identity, self._plan = manifest["identity"], ShardPlan.from_manifest(manifest)
        self._rows = self._plan.rows[split]

    def check(self, name: str, array: zarr.Array[Any]) -> None:
        """Refuse an array that is not stored so.

        Raises:
            CacheIncomplete: It is not.
        """
        require(array, self._how(name, array))

    def _how(self, name: str, array: zarr.Array[Any]) -> dict[str, Any]:
        dim, dtype, rows = self._identity["encoder"]["dim"], self._identity["dtype"], self._rows
        if name == IMAGES:
            return layout.embeddings((rows, dim), self._plan, dtype)
        if name == VIEWS:
            return layout.embeddings((rows, self._identity["views"]["count"], dim), self._plan, dtype)
        if name == PRE_IMAGES:
            return layout.embeddings((rows, pre_width(self._identity)), self._plan, dtype)
        if name == PRE_VIEWS:
            shape = (rows, self._identity["views"]["count"], pre_width(self._identity))
            return layout.embeddings(shape, self._plan, dtype)
        if name == CONTENT:
            return layout.contents(rows, self._plan)
        if name == STATE:
            return layout.states(rows, self._plan)
        if name == IDS:  # as wide as the longest, which only the ids themselves know
            return layout.ids(rows, array.shape[-1])
        assert name == LABELS
        return layout.labels(rows)


def require(array: zarr.Array[Any], how: dict[str, Any]) -> None:
    """Refuse an array that is stored in another way.

    Raises:
        CacheIncomplete: It is; the message names the first difference.
    """
    try:
        wanted = _facts(zarr.create_array(MemoryStore(), zarr_format=3, **how))
    except (ValueError, TypeError) as error:
        raise CacheIncomplete(f"its metadata is damaged ({error})") from error
    found = _facts(array)
    for key in sorted({*wanted, *found}):
        if wanted.get(key) != found.get(key):
            raise CacheIncomplete(f"its metadata is damaged: {key} is {found.get(key)}, expected {wanted.get(key)}")


def _facts(array: zarr.Array[Any]) -> dict[str, str]:
    """Metadata in full, but for the names of dimensions, which format 1 has not; as text, where NaN equals NaN."""
    return {key: str(value) for key, value in array.metadata.to_dict().items() if key != "dimension_names"}
