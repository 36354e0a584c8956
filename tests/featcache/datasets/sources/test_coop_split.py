"""CoOp's split files: rows in their order, and each way in which a file can be wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.sources.coop_split import list_coop_split
from featcache.errors import DataError

GOOD = {
    "train": [["b/2.jpg", 1, "Oak"], ["a/1.jpg", 0, "Elm"]],
    "val": [],
    "test": [["b/1.jpg", 1, "Oak"], ["a/2.jpg", 0, "Elm"]],
}


@pytest.fixture
def files(tmp_path: Path) -> FolderReader:
    for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return FolderReader(tmp_path / "images")


def test_rows_keep_the_files_order_and_empty_splits_are_left_out(files: FolderReader, tmp_path: Path) -> None:
    path = tmp_path / "split_zhou_Trees.json"
    path.write_text(json.dumps(GOOD))
    listing = list_coop_split(path, files)
    assert listing.class_names == ("Elm", "Oak")
    assert set(listing.splits) == {"train", "test"}
    assert list(listing.splits["train"].ids) == ["b/2.jpg", "a/1.jpg"]
    assert list(listing.splits["train"].labels) == [1, 0]
    assert listing.split_origin["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "is not JSON .*download it again"),
        ([1, 2], "not one of CoOp's split files"),
        ({"test": GOOD["test"]}, "not one of CoOp's split files"),
        ({**GOOD, "more": []}, "not one of CoOp's split files"),
        ({"train": [["a/1.jpg", 0]]}, "not one of CoOp's split files"),
        ({"train": [["a/1.jpg", 0.9, "a"], ["b/2.jpg", 1, "b"]]}, "not one of CoOp's split files"),
        ({"train": [["a/1.jpg", 0, "Elm"], ["b/1.jpg", 0, "Oak"]]}, 'label 0 is "Elm" and, for b/1.jpg, "Oak"'),
        ({"train": [["a/1.jpg", 0, "Elm"], ["b/1.jpg", 2, "Oak"]]}, "counted from 0 without gaps"),
        ({"train": [["a/1.jpg", 0, "Elm"]]}, "expected 2 or more"),
        ({"train": [["a/9.jpg", 0, "Elm"], ["b/1.jpg", 1, "Oak"]]}, "1 of 2 images are not in .*first a/9.jpg"),
    ],
)
def test_a_wrong_file_is_one_line(files: FolderReader, tmp_path: Path, content: Any, told: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DataError, match=told) as error:
        list_coop_split(path, files)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(files: FolderReader, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read the split file .*none\.json: No such file"):
        list_coop_split(tmp_path / "none.json", files)
