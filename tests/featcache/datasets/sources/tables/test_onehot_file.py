"""Tables with a column for each class."""

from __future__ import annotations

from pathlib import Path

import pytest

from featcache.datasets.load import load_dataset
from featcache.errors import DataError
from tests.pictures import make_class_folders, split_sizes

HEADER = "filename, cat, dog, fish\n"


def write(folder: Path, rows: list[str], name: str = "_classes.csv") -> Path:
    make_class_folders(folder.parent, {folder.name: len(rows)})
    (folder / name).write_text(HEADER + "".join(f"{number:03d}.png, {row}\n" for number, row in enumerate(rows)))
    return folder


ONE_EACH = ["1, 0, 0", "0, 1, 0", "0, 0, 1"] * 4


@pytest.mark.parametrize("given", ["", "_classes.csv", "other.csv"])
def test_the_column_of_the_1_is_the_class(tmp_path: Path, given: str) -> None:
    folder = write(tmp_path / "set", [*ONE_EACH, "0, 0, 0"], given or "_classes.csv")
    dataset = load_dataset(str(folder / given))
    assert dataset.class_names == ("cat", "dog", "fish")
    labels = {
        image: dataset.class_names[label] if label >= 0 else None
        for part in dataset.splits.values()
        for image, label in zip(part.ids, part.labels, strict=True)
    }
    assert labels == {f"{n:03d}.png": ("cat", "dog", "fish")[n % 3] for n in range(12)} | {"012.png": None}


def test_each_split_has_its_own(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        write(tmp_path / "set" / split, ONE_EACH[:6])
    dataset = load_dataset(str(tmp_path / "set"))
    assert split_sizes(dataset) == {"train": 6, "val": 6, "test": 6}
    assert dataset.splits["val"].ids[0] == "valid/000.png"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([*ONE_EACH, "1, 1, 0"], r"_classes.csv line 14: 012.png has 2 classes, cat, dog: an image has one class"),
        ([*ONE_EACH, "1, 0"], r"line 14: expected a file name and a 0 or 1 for each of 3 classes"),
        ([*ONE_EACH, "0.5, 0.5, 0"], r"line 14: expected a file name and a 0 or 1"),
    ],
)
def test_a_row_of_another_kind_is_named(tmp_path: Path, rows: list[str], told: str) -> None:
    with pytest.raises(DataError, match=told):
        load_dataset(str(write(tmp_path / "set", rows)))


def test_files_that_are_not_there_or_twice_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", ONE_EACH)
    with (folder / "_classes.csv").open("a") as file:
        file.write("none.png,1,0,0\n")
    with pytest.raises(DataError, match=r"1 of 13 files in _classes.csv do not exist, first none.png"):
        load_dataset(str(folder))
    (folder / "_classes.csv").write_text(HEADER + "000.png,1,0,0\n000.png,1,0,0\n")
    with pytest.raises(DataError, match=r"line 3 lists 000.png twice"):
        load_dataset(str(folder))
