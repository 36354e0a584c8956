"""Tip-Adapter's cache: unit keys in a FAISS inner-product index, each with the class it votes for.

The affinity of query q and key k is their cosine q k^T; a class collects exp(-beta (1 - affinity)) of its keys, over
all keys or over the nearest ones. The index holds the keys. Over all keys they are read back from it and multiplied
with the queries as one matrix product, because a search for all N keys also sorts them: it takes 7 to 17 times as long
as the product (8,100 queries on 160 keys; 500 on 16,000). For k < N FAISS searches, on a GPU where it has one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from adapters.arrays import Floats, Ints

BLOCK = 1 << 23
"""Most affinities held at once (32 MiB in float32): queries are worked off in blocks."""
GPU_MOST_NEIGHBOURS = 2048
"""FAISS finds no more neighbours than this on a GPU."""


class Affinity(NamedTuple):
    """Affinities of a block of queries to M keys each."""

    queries: slice
    """Which queries."""
    values: Tensor
    """Cosines (Q, M)."""
    labels: Tensor
    """Class codes of those keys (Q, M); an expanded view where all queries share the keys."""


def votes(values: Tensor, labels: Tensor, beta: float, classes: int, weight: Tensor | None = None) -> Tensor:
    """Cache logits (Q, C): per class the sum of exp(-beta (1 - affinity)); an affinity of -inf counts nothing.

    With `weight` (M,) or (Q, M), every key's term is multiplied by it.
    """
    sharpened = (values - 1).mul_(beta).exp_()
    if weight is not None:
        sharpened.mul_(weight)
    return sharpened.new_zeros(len(values), classes).scatter_add_(1, labels, sharpened)


class KeyCache:
    """Keys and their classes.

    Args:
        keys: unit rows (N, D).
        labels: class codes (N,).
        classes: number of classes C.
        device: where the products over all keys are computed.
    """

    def __init__(self, keys: Floats, labels: Ints, classes: int, device: torch.device) -> None:
        self.labels, self.classes, self.device = labels, classes, device
        self.index = _flat_index(keys)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def keys(self) -> Floats:
        """The keys (N, D), read back from the index."""
        return np.asarray(self.index.reconstruct_n(0, len(self)))

    def affinities(self, queries: Floats, neighbours: int | None = None) -> Iterator[Affinity]:
        """Affinities of unit queries (Q, D), in blocks of bounded memory.

        Args:
            queries: unit rows (Q, D).
            neighbours: how many of the nearest keys; None: all, in the order of the keys.
        """
        if neighbours is None:
            keys = torch.from_numpy(self.keys).to(self.device).T
            labels = torch.from_numpy(self.labels).to(self.device)
            for part in _blocks(len(queries), len(self)):
                values = torch.from_numpy(queries[part]).to(self.device) @ keys
                yield Affinity(part, values, labels.expand(values.shape))
            return
        for part, cosines, found in self._search(queries, neighbours):
            labels = torch.from_numpy(self.labels[found]).to(self.device)
            yield Affinity(part, torch.from_numpy(cosines).to(self.device), labels)

    def _search(self, queries: Floats, neighbours: int) -> Iterator[tuple[slice, Floats, Ints]]:
        """Which queries, the cosines of their nearest keys and which keys those are, both (Q, neighbours)."""
        neighbours = min(neighbours, len(self))
        index = _on_gpu(self.index) if neighbours <= GPU_MOST_NEIGHBOURS else self.index
        for part in _blocks(len(queries), neighbours):
            yield part, *index.search(queries[part], neighbours)

    def votes(self, queries: Floats, beta: float, neighbours: int | None = None) -> Floats:
        """Cache logits (Q, C) of unit queries (Q, D); see `votes`."""
        out = np.empty((len(queries), self.classes), dtype=np.float32)
        for block in self.affinities(queries, neighbours):
            out[block.queries] = votes(block.values, block.labels, beta, self.classes).cpu().numpy()
        return out

    def held_out(self, fold: Ints, neighbours: int | None = None) -> Iterator[Affinity]:
        """Affinities of every key to the keys of other folds (-inf to those of its own), in blocks.

        Args:
            fold: fold of every key (N,).
            neighbours: how many of the nearest keys of other folds; None: all.
        """
        own = torch.from_numpy(fold).to(self.device)
        if neighbours is None:
            for block in self.affinities(self.keys):
                block.values.masked_fill_(own[block.queries, None] == own, -torch.inf)
                yield block
            return
        # Keys of a fold's size may be masked, so that many more are searched for, and the first k others are kept.
        largest = int(np.unique(fold, return_counts=True)[1].max())
        for part, cosines, found in self._search(self.keys, neighbours + largest):
            other = fold[part, None] != fold[found]
            values = np.where(other & (other.cumsum(1) <= neighbours), cosines, np.float32(-np.inf))
            yield Affinity(
                part, torch.from_numpy(values).to(self.device), torch.from_numpy(self.labels[found]).to(self.device)
            )

    def __getstate__(self) -> dict[str, Any]:
        return {"keys": self.keys, "labels": self.labels, "classes": self.classes, "device": self.device}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    size = max(1, BLOCK // columns)
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def _flat_index(keys: Floats) -> Any:
    import faiss

    index = faiss.IndexFlatIP(keys.shape[1])
    index.add(np.ascontiguousarray(keys))
    return index


def _on_gpu(index: Any) -> Any:
    """The index on the first GPU where FAISS has one, otherwise the index itself."""
    import faiss

    if not faiss.get_num_gpus():
        return index
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
