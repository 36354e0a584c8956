"""Tip-Adapter's cache: unit keys in a FAISS inner-product index, each with the class it votes for.

The affinity of query q and key k is their cosine q k^T; a class collects exp(-beta (1 - affinity)) of its keys, over
all keys or over the nearest ones. The index holds the keys. Over all keys they are multiplied with the queries as
matrix products, because a search for all N keys also sorts them: it takes 7 to 17 times as long as the product (8,100
queries on 160 keys; 500 on 16,000). For k < N FAISS searches, on a GPU where it has one; on a CPU that takes longer
than the votes of all keys too, unless the index is approximate.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from adapters.arrays import Floats, Ints
from adapters.heads.tip.class_moments import ClassMoments
from adapters.heads.tip.key_index import GPU_MOST_NEIGHBOURS, IndexKind, build_index, on_gpu, search, stored_keys
from adapters.heads.traced import traced_products
from adapters.training.class_sums import add_by_class

BLOCK = 1 << 23
"""Most affinities held at once (32 MiB in float32): queries are worked off in blocks."""
KEYS = 1 << 14
"""Most keys whose votes are summed at once: with more of them, many queries still share one product."""


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
    # -inf times a beta of 0 would not be a number.
    sharpened = (values - 1).mul_(beta).exp_() if beta else torch.isfinite(values).to(values.dtype)
    if weight is not None:
        sharpened.mul_(weight)
    return add_by_class(sharpened.new_zeros(len(values), classes), sharpened, labels)


class KeyCache:
    """Keys and their classes.

    Args:
        keys: unit rows (N, D).
        labels: class codes (N,).
        classes: number of classes C.
        device: where the products over all keys are computed.
        kind: of the index that nearest keys are searched in (`adapters.heads.tip.key_index`).
    """

    def __init__(
        self, keys: Floats, labels: Ints, classes: int, device: torch.device, kind: IndexKind = "flat"
    ) -> None:
        self.labels, self.classes, self.device, self.kind = labels, classes, device, kind
        self.index = build_index(keys, kind)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def keys(self) -> Floats:
        """The keys (N, D), copied from the index."""
        return np.array(stored_keys(self.index))

    @cached_property
    def moments(self) -> ClassMoments:
        """What the keys of every class add up to; computed once, when first asked for."""
        return ClassMoments.of(stored_keys(self.index), self.labels, self.classes)

    @cached_property
    def _on_gpu(self) -> Any:
        """A flat index where FAISS has a GPU, copied there once; otherwise the index itself."""
        return on_gpu(self.index) if self.kind == "flat" else self.index

    def affinities(self, queries: Floats, neighbours: int | None = None) -> Iterator[Affinity]:
        """Affinities of unit queries (Q, D), in blocks of bounded memory.

        Args:
            queries: unit rows (Q, D).
            neighbours: how many of the nearest keys; None: all, in the order of the keys.
        """
        if neighbours is None:
            keys = torch.from_numpy(stored_keys(self.index)).to(self.device).T
            labels = torch.from_numpy(self.labels).to(self.device)
            for part in _blocks(len(queries), len(self)):
                values = torch.from_numpy(queries[part]).to(self.device) @ keys
                yield Affinity(part, values, labels.expand(values.shape))
            return
        for part, cosines, found in self.nearest(queries, neighbours):
            labels = torch.from_numpy(self.labels[found]).to(self.device)
            yield Affinity(part, torch.from_numpy(cosines).to(self.device), labels)

    def nearest(self, queries: Floats, neighbours: int) -> Iterator[tuple[slice, Floats, Ints]]:
        """Which queries, the cosines of their nearest keys and which keys those are, both (Q, neighbours).

        Where an approximate index finds fewer, the cosine is -inf and the key any.
        """
        neighbours = min(neighbours, len(self))
        index = self._on_gpu if neighbours <= GPU_MOST_NEIGHBOURS else self.index
        for part in _blocks(len(queries), neighbours):
            yield part, *search(index, queries[part], neighbours)

    def votes(self, queries: Floats, beta: float, neighbours: int | None = None) -> Floats:
        """Cache logits (Q, C) of unit queries (Q, D); see `votes`."""
        out = np.empty((len(queries), self.classes), dtype=np.float32)
        if neighbours is None:
            for part in _blocks(len(queries), min(len(self), KEYS)):
                out[part] = self._all_votes(torch.from_numpy(queries[part]).to(self.device), beta).cpu().numpy()
            return out
        for block in self.affinities(queries, neighbours):
            out[block.queries] = votes(block.values, block.labels, beta, self.classes).cpu().numpy()
        return out

    def traced_votes(self, queries: Tensor, beta: float, weight: Floats | None = None) -> Tensor:
        """Cache logits (Q, C) over all keys, each times its `weight` (N,) if given; see `adapters.abilities.Traced`."""
        sharpened = torch.exp(beta * (traced_products(queries, self.keys) - 1))
        if weight is not None:
            sharpened = sharpened * torch.from_numpy(weight)
        return sharpened @ torch.nn.functional.one_hot(torch.from_numpy(self.labels), self.classes).to(sharpened.dtype)

    def _all_votes(self, queries: Tensor, beta: float) -> Tensor:
        """Cache logits (Q, C) over all keys, some at a time."""
        total, stored = queries.new_zeros(len(queries), self.classes), stored_keys(self.index)
        for start in range(0, len(self), KEYS):
            keys = torch.from_numpy(stored[start : start + KEYS]).to(self.device)
            labels = torch.from_numpy(self.labels[start : start + KEYS]).to(self.device)
            values = queries @ keys.T
            total += votes(values, labels.expand(values.shape), beta, self.classes)
        return total

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
        for part, cosines, found in self.nearest(self.keys, neighbours + largest):
            other = fold[part, None] != fold[found]
            values = np.where(other & (other.cumsum(1) <= neighbours), cosines, np.float32(-np.inf))
            yield Affinity(
                part, torch.from_numpy(values).to(self.device), torch.from_numpy(self.labels[found]).to(self.device)
            )

    def __getstate__(self) -> dict[str, Any]:
        return {
            "keys": self.keys,
            "labels": self.labels,
            "classes": self.classes,
            "device": self.device,
            "kind": self.kind,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    size = max(1, BLOCK // columns)
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))
