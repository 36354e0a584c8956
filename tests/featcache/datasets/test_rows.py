"""Rows: the seeded splits, limits, subsets, the listing's digest; and digits, whose split is made here."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featcache.datasets import Dataset, Split, load_dataset
from featcache.datasets.stratified import balanced_rows, carve_rows, split_rows
from featcache.errors import DataError
from tests.pictures import make_class_folders, split_sizes


def counts(split: Split) -> list[int]:
    return [int(n) for n in np.bincount(split.labels)]


def test_digits() -> None:
    dataset = load_dataset("digits")
    assert split_sizes(dataset) == dict(dataset.provenance["expected_rows"])
    assert sum(split_sizes(dataset).values()) == 1797
    # The split is the same everywhere: this digest was computed once.
    assert dataset.digest() == DIGITS_DIGEST
    from sklearn.datasets import load_digits

    source = load_digits()
    reader = pickle.loads(pickle.dumps(dataset.reader))
    for image, label in zip(dataset.splits["val"].ids[:50], dataset.splits["val"].labels[:50], strict=True):
        pixels = reader.read(image)
        row = int(image[-4:])
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, np.rint(source.images[row] * 255 / 16))
        assert source.target[row] == label
    assert dataset.class_names[3] == "three"


DIGITS_DIGEST = "4d18cacd614d26fa0f97186ba361d2c502a645aa23a12137d9e3ff15a0cdba89"


def test_limited_is_balanced_nested_and_in_listing_order(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "train", {"a": 3, "b": 30, "c": 30})
    make_class_folders(tmp_path / "val", {"a": 2, "b": 2, "c": 2})
    make_class_folders(tmp_path / "test", {"a": 9, "b": 9, "c": 9})
    dataset = load_dataset(str(tmp_path))
    small, large = dataset.limited(10, seed=0), dataset.limited(20, seed=0)
    assert sorted(counts(small.splits["train"])) == [3, 3, 4]
    assert split_sizes(small) == {"train": 10, "val": 6, "test": 10}
    assert sorted(counts(large.splits["train"])) == [3, 8, 9]
    for name in dataset.splits:
        assert set(small.splits[name].ids) <= set(large.splits[name].ids)
        rows = [dataset.splits[name].ids.index(image) for image in small.splits[name].ids]
        assert rows == sorted(rows)
        assert (small.splits[name].labels == dataset.splits[name].labels[rows]).all()
    assert small.digest() == dataset.limited(10, seed=0).digest() != dataset.limited(10, seed=1).digest()
    assert small.provenance["limit"] == {"rows": 10, "seed": 0}
    with pytest.raises(DataError, match="at least 1"):
        dataset.limited(0, seed=0)


def test_subset(tmp_path: Path) -> None:
    dataset = load_dataset(str(make_class_folders(tmp_path, {"a": 10, "b": 10})))
    assert list(dataset.subset(["test", "train"]).splits) == ["train", "test"]
    with pytest.raises(DataError, match='no split "dev": choose from train, val, test'):
        dataset.subset(["train", "dev"])


def test_digest_sees_ids_labels_order_and_split_names_only(tmp_path: Path) -> None:
    dataset = load_dataset(str(make_class_folders(tmp_path, {"a": 10, "b": 10})))

    def digest(**splits: Split) -> str:
        return Dataset("x", ("a", "b"), splits, dataset.reader, dataset.prompts, "default", {}).digest()

    train = Split(("1", "2"), np.array([0, 1]))
    assert digest(train=train) == digest(train=Split(("1", "2"), np.array([0, 1])))
    others = [
        digest(val=train),
        digest(train=Split(("2", "1"), np.array([0, 1]))),
        digest(train=Split(("1", "2"), np.array([1, 0]))),
        digest(train=Split(("12", ""), np.array([0, 1]))),
        digest(train=Split(("1",), np.array([0])), val=Split(("2",), np.array([1]))),
    ]
    assert len({digest(train=train), *others}) == 6


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
