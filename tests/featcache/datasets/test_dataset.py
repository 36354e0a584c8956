"""Limits and subsets of a data set, and the digest of its listing."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from featcache.datasets.dataset import Dataset, Split
from featcache.datasets.load import load_dataset
from featcache.errors import DataError
from tests.pictures import listing_of, make_class_folders, split_sizes


def counts(split: Split) -> list[int]:
    return [int(n) for n in np.bincount(split.labels)]


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
    assert listing_of(small) == listing_of(dataset.limited(10, seed=0)) != listing_of(dataset.limited(10, seed=1))
    assert small.provenance["limit"] == {"rows": 10, "seed": 0}
    with pytest.raises(DataError, match="at least 1"):
        dataset.limited(0, seed=0)


def test_labels_are_copied_only_where_somebody_could_still_write_them() -> None:
    labels = np.array([0, 1])
    split = Split(("a", "b"), labels)
    labels[0] = 1
    assert split.labels.tolist() == [0, 1]
    assert Split(split.ids, split.labels).labels is split.labels
    with pytest.raises(ValueError, match="read-only"):
        pickle.loads(pickle.dumps(split)).labels[0] = 1


def test_subset(tmp_path: Path) -> None:
    dataset = load_dataset(str(make_class_folders(tmp_path, {"a": 10, "b": 10})))
    assert list(dataset.subset(["test", "train"]).splits) == ["train", "test"]
    with pytest.raises(DataError, match='no split "dev": choose from train, val, test'):
        dataset.subset(["train", "dev"])


def test_digest_sees_ids_labels_order_and_split_names_only(tmp_path: Path) -> None:
    dataset = load_dataset(str(make_class_folders(tmp_path, {"a": 10, "b": 10})))

    def digest(**splits: Split) -> str:
        return listing_of(Dataset("x", ("a", "b"), splits, dataset.reader, dataset.prompts, "default", {}))

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
