from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.arrays import unit
from adapters.heads.tip import key_cache
from adapters.heads.tip.key_cache import KeyCache
from adapters.heads.tip.key_index import IndexKind

CPU = torch.device("cpu")


def _cache(keys: int = 30, dim: int = 8, classes: int = 4, seed: int = 0) -> tuple[KeyCache, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = unit(rng.standard_normal((keys, dim)).astype(np.float32))
    labels = rng.integers(classes, size=keys)
    return KeyCache(rows, labels, classes, CPU), unit(rng.standard_normal((11, dim)).astype(np.float32))


def _brute_force(cache: KeyCache, queries: np.ndarray, beta: float, neighbours: int) -> np.ndarray:
    affinity = queries.astype(np.float64) @ cache.keys.astype(np.float64).T
    nearest = np.argsort(-affinity, axis=1)[:, :neighbours]
    out = np.zeros((len(queries), cache.classes))
    for query, keys in enumerate(nearest):
        for key in keys:
            out[query, cache.labels[key]] += np.exp(-beta * (1 - affinity[query, key]))
    return out


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.floats(0.1, 20), st.integers(0, 5))
def test_the_nearest_keys_vote(neighbours: int, beta: float, seed: int) -> None:
    cache, queries = _cache(seed=seed)
    expected = _brute_force(cache, queries, beta, min(neighbours, len(cache)))
    np.testing.assert_allclose(cache.votes(queries, beta, neighbours), expected, rtol=2e-4, atol=1e-6)


def test_all_neighbours_are_the_dense_formula() -> None:
    cache, queries = _cache()
    dense = np.exp(-5.5 * (1 - queries @ cache.keys.T)) @ np.eye(4)[cache.labels]
    np.testing.assert_allclose(cache.votes(queries, 5.5), dense, rtol=1e-5)
    np.testing.assert_allclose(cache.votes(queries, 5.5, neighbours=len(cache)), dense, rtol=1e-5)


@pytest.mark.parametrize("neighbours", [None, 5])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, neighbours: int | None) -> None:
    cache, queries = _cache()
    whole = cache.votes(queries, 3.0, neighbours)
    held_out = [block.values.numpy() for block in cache.held_out(np.arange(30) % 3, neighbours)]
    monkeypatch.setattr(key_cache, "BLOCK", 30)
    assert len(list(cache.affinities(queries, neighbours))) > 1
    np.testing.assert_allclose(cache.votes(queries, 3.0, neighbours), whole, rtol=1e-5)
    blocks = [block.values.numpy() for block in cache.held_out(np.arange(30) % 3, neighbours)]
    np.testing.assert_allclose(np.concatenate(blocks), np.concatenate(held_out), rtol=1e-5)


def test_held_out_keys_do_not_see_their_fold() -> None:
    cache, _ = _cache()
    fold = np.arange(30) % 3
    (every,) = cache.held_out(fold)
    assert (torch.isinf(every.values).numpy() == (fold[:, None] == fold)).all()
    (nearest,) = cache.held_out(fold, neighbours=4)
    values = np.sort(nearest.values.numpy(), axis=1)[:, ::-1]
    assert np.isfinite(values).sum(1).tolist() == [4] * 30
    expected = np.sort(every.values.numpy(), axis=1)[:, ::-1][:, :4]
    np.testing.assert_allclose(values[:, :4], expected, rtol=1e-5)


def test_keys_come_back_from_the_index_and_from_a_copy() -> None:
    rows = unit(np.random.default_rng(1).standard_normal((5, 8)).astype(np.float32))
    cache = KeyCache(rows, np.zeros(5, np.int64), 1, CPU)
    np.testing.assert_array_equal(cache.keys, rows)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(cache)).keys, rows)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_approximate_indexes_find_near_keys_and_the_same_ones_again(kind: IndexKind) -> None:
    rng = np.random.default_rng(0)
    rows, queries = (unit(rng.standard_normal((n, 8)).astype(np.float32)) for n in (2000, 50))
    cache = KeyCache(rows, rng.integers(4, size=2000), 4, CPU, kind)
    np.testing.assert_array_equal(cache.keys, rows)
    ((_, cosines, found),) = cache.nearest(queries, 10)
    np.testing.assert_allclose(cosines, np.einsum("qd,qkd->qk", queries, rows[found]), atol=1e-6)
    true = np.argsort(-queries @ rows.T, axis=1)[:, :10]
    recall = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, true, strict=True)])
    assert 0.3 < recall < 1 or kind == "hnsw"
    assert recall > 0.3
    again = pickle.loads(pickle.dumps(cache))
    assert again.kind == kind
    np.testing.assert_array_equal(again.votes(queries, 5.5, 10), cache.votes(queries, 5.5, 10))


@pytest.mark.parametrize("beta", [0.0, 5.5])
def test_keys_that_an_approximate_index_did_not_find_do_not_vote(beta: float) -> None:
    rows = unit(np.random.default_rng(1).standard_normal((400, 8)).astype(np.float32))
    cache = KeyCache(rows, np.arange(400) % 4, 4, CPU, "ivf")
    ((_, cosines, found),) = cache.nearest(rows[:5], 400)  # more than the lists that are searched hold
    there = np.isfinite(cosines)
    assert not there.all()
    expected = [
        [np.exp(-beta * (1 - c[t & (cache.labels[f] == code)].astype(np.float64))).sum() for code in range(4)]
        for c, f, t in zip(cosines, found, there, strict=True)
    ]
    np.testing.assert_allclose(cache.votes(rows[:5], beta, 400), expected, rtol=1e-5)


def test_votes_of_all_keys_add_up_over_blocks_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, queries = _cache()
    whole = cache.votes(queries, 3.0)
    monkeypatch.setattr(key_cache, "KEYS", 7)
    np.testing.assert_allclose(cache.votes(queries, 3.0), whole, rtol=1e-5)


@pytest.mark.parametrize("order", ["torch, faiss", "faiss, torch"])
def test_torch_and_faiss_share_a_process(order: str) -> None:
    """Both bring an OpenMP runtime; whichever comes first, the two must compute and agree."""
    code = (
        f"import {order}; import numpy as np, torch; from adapters.heads.tip.key_cache import KeyCache\n"
        "rows = np.eye(64, dtype='f'); cache = KeyCache(rows, np.arange(64), 64, torch.device('cpu'))\n"
        "dense, found = cache.votes(rows, 5.5), cache.votes(rows, 5.5, 64)\n"
        "assert abs(dense - found).max() < 1e-6"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
