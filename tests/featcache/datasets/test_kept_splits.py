"""Splits that are made here, with rows that stay."""

from __future__ import annotations

import numpy as np

from featcache.datasets.stratified import carve_rows, split_rows

IDS = [f"{n:03d}" for n in range(40)]
LABELS = np.repeat([0, 1], 20)


def parts(rows: dict[str, np.ndarray], count: int = 40) -> np.ndarray:
    found = np.full(count, -1)
    for place, of_split in enumerate(rows.values()):
        found[of_split] = place
    return found


def test_free_rows_fill_up_what_their_class_lacks() -> None:
    free = parts(split_rows(IDS, LABELS, 0))
    fixed = np.where(np.arange(40) % 3 == 0, (free + 1) % 3, -1)
    kept = parts(split_rows(IDS, LABELS, 0, fixed))
    assert (kept[fixed >= 0] == fixed[fixed >= 0]).all()
    for label in (0, 1):
        assert np.bincount(kept[label == LABELS]).tolist() == [10, 4, 6]
    assert (parts(split_rows(IDS, LABELS, 0, np.full(40, -1))) == free).all()


def test_where_one_split_has_more_than_its_share_the_others_share_what_is_left() -> None:
    fixed = np.where(np.arange(40) < 18, 2, -1)  # of the first class all but two are in test
    kept = parts(split_rows(IDS, LABELS, 0, fixed))
    assert np.bincount(kept[:20], minlength=3).tolist() == [1, 1, 18]
    assert np.bincount(kept[20:]).tolist() == [10, 4, 6]


def test_a_carved_split_keeps_its_rows() -> None:
    stay, taken = carve_rows(IDS, LABELS, 0)
    fixed = np.full(40, -1)
    fixed[taken] = 0
    fixed[stay[:3]] = 1
    kept, carved = carve_rows(IDS, LABELS, 0, fixed)
    assert set(taken) <= set(kept)
    assert set(stay[:3]) <= set(carved)
    assert sorted([*kept, *carved]) == list(range(40))
