"""Seeded splits and limits: every row once, every class its share."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from featcache.datasets.stratified import balanced_rows, carve_rows, split_rows

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60)


@given(LABELS, st.integers(0, 3))
def test_split_rows_part_the_rows(labels: list[int], seed: int) -> None:
    y = np.array(labels)
    ids = [f"{i}.png" for i in range(len(y))]
    parts = split_rows(ids, y, seed)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(y)))
    for label, count in enumerate(np.bincount(y).tolist()):
        got = [int((y[rows] == label).sum()) for rows in parts.values()]
        if count >= 3:
            assert min(got) >= 1
        assert got[0] >= min(count, 1)
        assert abs(got[0] - count / 2) <= 1
        assert abs(got[1] - count / 5) <= 1
    kept, taken = carve_rows(ids, y, seed)
    assert sorted([*kept.tolist(), *taken.tolist()]) == list(range(len(y)))
    assert set(y[taken].tolist()) == {label for label, n in enumerate(np.bincount(y)) if n >= 2}


@given(LABELS, st.integers(1, 60), st.integers(0, 3))
def test_balanced_rows_fill_up_evenly(labels: list[int], n: int, seed: int) -> None:
    y = np.array(labels)
    ids = [f"{i}.png" for i in range(len(y))]
    rows = balanced_rows(ids, y, n, seed)
    assert len(rows) == min(n, len(y))
    have, got = np.bincount(y, minlength=5), np.bincount(y[rows], minlength=5)
    assert all(got[label] == have[label] or got[label] >= got.max() - 1 for label in range(5))
    assert set(balanced_rows(ids, y, max(1, n - 1), seed).tolist()) <= set(rows.tolist())
