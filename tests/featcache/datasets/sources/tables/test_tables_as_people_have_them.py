"""Delimiters, encodings, names of columns and of files: what can only mean one thing opens, and is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featcache.datasets.dataset import Dataset
from featcache.datasets.load import load_dataset
from featcache.datasets.sources.tables.columns import TableOptions
from featcache.errors import DataError
from tests.pictures import make_class_folders

ROWS = [(f"{name}/{number:03d}.png", label) for name, label in (("a", "ant"), ("b", "bée")) for number in range(4)]
EXPECTED = sorted(ROWS)


def rows(dataset: Dataset) -> list[tuple[str, str]]:
    return sorted(
        (image, dataset.labels[label])
        for split in dataset.splits.values()
        for image, label in zip(split.ids, split.labels.tolist(), strict=True)
    )


def told(dataset: Dataset) -> list[str]:
    return list(dataset.provenance.get("told", []))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    make_class_folders(tmp_path, {"a": 4, "b": 4})
    return tmp_path


def load(path: Path, **options: Any) -> Dataset:
    return load_dataset(str(path), table=TableOptions(**options))


def text(header: str = "path,label", between: str = ",") -> str:
    return "\r\n".join([header, *(between.join(row) for row in ROWS), ""])


@pytest.mark.parametrize(
    ("encoding", "guessed"),
    [
        ("utf-8", []),
        ("utf-8-sig", []),
        ("utf-16", ["encoding: UTF-16"]),
        ("utf-16-le", ["encoding: UTF-16"]),
        ("utf-16-be", ["encoding: UTF-16"]),
        ("cp1252", ["encoding: Latin-1"]),
        ("latin-1", ["encoding: Latin-1"]),
    ],
)
def test_encodings(encoding: str, guessed: list[str], photos: Path) -> None:
    (photos / "x.csv").write_bytes(text().encode(encoding))
    dataset = load(photos / "x.csv")
    assert rows(dataset) == EXPECTED
    assert told(dataset) == guessed


@pytest.mark.parametrize(
    ("between", "name", "guessed"),
    [
        (";", "x.csv", "semicolons"),
        ("\t", "x.tsv", "tabs"),
        ("|", "x.csv", "bars"),
        (" ", "x.csv", "spaces"),
    ],
)
def test_delimiters(between: str, name: str, guessed: str, photos: Path) -> None:
    (photos / name).write_text(text(f"path{between}label", between))
    dataset = load(photos / name)
    assert rows(dataset) == EXPECTED
    assert told(dataset) == [f"cells: parted by {guessed}"]


@pytest.mark.parametrize(
    ("header", "options", "guessed"),
    [
        ("Path,Label", {}, ["paths: column Path", "labels: column Label"]),
        ("filename,category", {}, ["paths: column filename", "labels: column category"]),
        ("image,breed_of_dog", {}, ["paths: column image", "labels: column breed_of_dog, the only other one"]),
        ("what,ever", {"path_column": "what", "label_column": "ever"}, []),
    ],
)
def test_names_of_columns(header: str, options: dict[str, str], guessed: list[str], photos: Path) -> None:
    (photos / "x.csv").write_text(text(header))
    pq.write_table(
        pa.table(dict(zip(header.split(","), map(list, zip(*ROWS, strict=True)), strict=True))), photos / "x.parquet"
    )
    for name in ("x.csv", "x.parquet"):
        dataset = load(photos / name, **options)
        assert rows(dataset) == EXPECTED
        assert told(dataset) == guessed


@pytest.mark.parametrize(
    ("header", "options", "message"),
    [
        (
            "path,category,class",
            {},
            "category and class, and each may be the label: type --label-column category",
        ),
        ("file,image,label", {}, "columns file and image, and each may be the path: type --path-column file"),
        ("path,label,x", {"label_column": "lable"}, "--label-column lable: .* has the columns path, label, x"),
        ("path,label,split", {}, r'split is "?1"?: write train, val or test, or .*\(--split-column none\)'),
    ],
)
def test_where_two_would_do_the_command_says_what_to_type(
    header: str, options: dict[str, str], message: str, photos: Path
) -> None:
    (photos / "x.csv").write_text(f"{header}\na/000.png,x,1\na/001.png,y,1\n")
    with pytest.raises(DataError, match=message) as caught:
        load(photos / "x.csv", **options)
    assert "\n" not in str(caught.value)


def test_a_column_of_splits_may_be_left_alone_and_have_other_words(photos: Path) -> None:
    lines = [
        f"{path},{label},{word}" for (path, label), word in zip(ROWS, ["train", "dev", "test", "1"] * 2, strict=True)
    ]
    (photos / "x.csv").write_text("\n".join(["path,label,split", *lines]))
    assert sorted(load(photos / "x.csv", split_column="none").splits) == ["test", "train", "val"]
    lines = [line.replace(",1", ",Training") for line in lines]
    (photos / "x.csv").write_text("\n".join(["path,label,part", *lines]))
    splits = load(photos / "x.csv", split_column="part").splits
    assert {name: len(split) for name, split in splits.items()} == {"train": 4, "val": 2, "test": 2}


def test_windows_separators(photos: Path) -> None:
    (photos / "x.csv").write_text(text().replace("/", "\\"))
    dataset = load(photos / "x.csv")
    assert rows(dataset) == EXPECTED
    assert told(dataset) == ["paths: Windows' separators read as slashes"]


def kaggle(photos: Path) -> Path:
    """`train.csv` with ids without an ending, and a folder of images."""
    (photos / "train").mkdir()
    lines = ["id,breed"]
    for number, (path, label) in enumerate(ROWS):
        (photos / path).rename(photos / "train" / f"{number}.png")
        lines.append(f"{number},{label}")
    (photos / "train.csv").write_text("\n".join(lines))
    return photos / "train.csv"


def test_ids_without_ending_are_found_in_the_folder_that_has_all(photos: Path) -> None:
    file = kaggle(photos)
    dataset = load(file)
    assert rows(dataset) == sorted((f"train/{number}.png", label) for number, (_, label) in enumerate(ROWS))
    assert told(dataset)[-1] == "images: train/0.png for 0, and so on"
    given = load(file, image_dir=photos / "train", suffix="png")
    assert rows(given) == sorted((f"{number}.png", label) for number, (_, label) in enumerate(ROWS))
    assert given.location == str(photos / "train")
    assert given.reader.read("3.png") == dataset.reader.read("train/3.png")


def test_ids_that_two_folders_have_are_asked_for(photos: Path) -> None:
    kaggle(photos)
    (photos / "train.csv").rename(photos / "all.csv")
    file = photos / "all.csv"
    (photos / "test").mkdir()
    for number in range(8):
        (photos / "test" / f"{number}.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"0 may be test/0 or train/0 in .*: type --image-dir DIR"):
        load(file)
    assert len(rows(load(file, image_dir=photos / "train"))) == 8
    with pytest.raises(DataError, match=r"8 of 8 files do not exist, first 0\.jpg: .*--image-dir names another folder"):
        load(file, suffix=".jpg")
    file.rename(photos / "train.csv")
    assert told(load(photos / "train.csv"))[-1] == "images: train/0.png for 0, and so on"


def test_rows_that_say_the_same_count_once_and_others_are_named(photos: Path) -> None:
    (photos / "x.csv").write_text(text() + "a/000.png,ant\na/001.png,ant\n")
    dataset = load(photos / "x.csv")
    assert rows(dataset) == EXPECTED
    assert dataset.provenance["left_out"] == {"listed twice in the same way": 2}
    (photos / "x.csv").write_text(text() + "a/000.png,bée\nb/000.png,ant\n")
    with pytest.raises(DataError, match=r"twice, as ant in train and as bée in train \(2 images are listed so\)"):
        load(photos / "x.csv")


def test_options_of_a_table_go_with_tables_alone(photos: Path) -> None:
    with pytest.raises(DataError, match="--suffix is for a table that lists images"):
        load(photos, suffix=".png")
    with pytest.raises(DataError, match="--label-column is for a table that lists images"):
        load_dataset("digits", table=TableOptions(label_column="x"))


def test_bytes_are_no_table(photos: Path) -> None:
    (photos / "x.csv").write_bytes(b"path,label\n\xff\x00\x81" * 50)
    with pytest.raises(DataError, match=r"x\.csv is not text in UTF-8"):
        load(photos / "x.csv")
