"""FAISS indexes of keys for the inner product.

| kind | neighbours | fit | search of N keys |
|---|---|---|---|
| flat | exact | a copy | all N; on a GPU where FAISS has one |
| ivf | approximate | k-means into sqrt(N) lists | the keys of one list in 16, those with the nearest centroids |
| hnsw | approximate | a graph, key by key | a walk along the graph |

Only `flat` finds the true k nearest keys, which is what a certificate needs (`adapters.heads.tip.certified`): a key
that an approximate index missed may be nearer than any that it found. The same keys always give the same index, so that
a saved head, which keeps the keys alone, predicts as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from adapters.arrays import Floats, Ints

IndexKind = Literal["flat", "ivf", "hnsw"]

GPU_MOST_NEIGHBOURS = 2048
"""FAISS finds no more neighbours than this on a GPU."""
PROBED = 16
"""One list in so many is searched."""
TRAINING_KEYS = 64
"""Most keys a list that k-means sees."""
LINKS = 32
"""Of a key in the graph, on its upper levels; twice as many on the lowest."""
SEED = 0


def build_index(keys: Floats, kind: IndexKind) -> Any:
    """An index of keys (N, D), in their order."""
    import faiss

    index: Any
    keys = np.ascontiguousarray(keys)
    count, dim = keys.shape
    if kind == "flat":
        index = faiss.IndexFlatIP(dim)
        index.add(keys)
    elif kind == "ivf":
        lists = max(1, round(count**0.5))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.seed, index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = SEED, 1, TRAINING_KEYS
        index.nprobe = -(-lists // PROBED)
        index.train(keys)
        index.add(keys)
        index.make_direct_map()  # to read keys back in their order
    else:
        index = faiss.IndexHNSWFlat(dim, LINKS, faiss.METRIC_INNER_PRODUCT)
        with _one_thread(faiss):  # with more, the graph depends on which comes first
            index.add(keys)
    return index


def stored_keys(index: Any) -> Floats:
    """The keys (N, D) in their order: as they lie in a flat index, and not to be used after it; otherwise a copy."""
    import faiss

    if isinstance(index, faiss.IndexFlat):
        count, dim = index.ntotal, index.d
        return np.asarray(faiss.rev_swig_ptr(index.get_xb(), count * dim)).reshape(count, dim)
    return np.asarray(index.reconstruct_n(0, index.ntotal))


def search(index: Any, queries: Floats, neighbours: int) -> tuple[Floats, Ints]:
    """Cosines and numbers of the nearest keys, both (Q, neighbours); -inf where none was found."""
    import faiss

    if isinstance(index, faiss.IndexHNSW):
        index.hnsw.efSearch = 2 * neighbours  # candidates kept on the walk: the more, the fewer are missed
    cosines, found = index.search(queries, neighbours)
    return np.where(found < 0, np.float32(-np.inf), cosines), np.maximum(found, 0)


def search_within(index: Any, queries: Floats, least: float) -> tuple[Ints, Ints, Floats]:
    """Numbers of queries and keys (P,), and cosines (P,), of all pairs whose cosine is above `least`, by query."""
    limits, cosines, found = index.range_search(queries, least)
    return np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64))), found, cosines


def on_gpu(index: Any) -> Any:
    """A flat index on the first GPU where FAISS has one, otherwise the index itself."""
    import faiss

    if not faiss.get_num_gpus():
        return index
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)


@contextmanager
def _one_thread(faiss: Any) -> Iterator[None]:
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
