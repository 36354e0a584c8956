"""CSV files of path,label[,split]."""

from __future__ import annotations

from pathlib import Path

import pytest

from featcache.datasets.load import load_dataset
from featcache.errors import DataError
from tests.pictures import make_class_folders, split_sizes, tiny_png


def write_csv(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_csv_with_splits_keeps_row_order(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "images", {"x": 6})
    rows = ["label,note,path,split"]
    rows += [
        f"{'ant' if i % 2 else 'bee'},?,images/x/{i:03d}.png,{s}"
        for i, s in enumerate(["train", "train", "val", "val", "test", "test"])
    ]
    dataset = load_dataset(write_csv(tmp_path / "mine.csv", "\n".join(rows)))
    assert dataset.name == "mine"
    assert dataset.class_names == ("ant", "bee")
    assert dataset.splits["train"].ids == ("images/x/000.png", "images/x/001.png")
    assert dataset.splits["train"].labels.tolist() == [1, 0]
    assert dataset.reader.read("images/x/003.png") == tiny_png(3)
    assert dataset.provenance["split"] == {"from": "column split of mine.csv"}


def test_csv_without_splits_and_with_quotes_and_a_byte_order_mark(tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"a, b": 10, "c": 10})
    lines = ["\ufeffpath, label", *(f'"a, b/{i:03d}.png", "tea, green"\nc/{i:03d}.png, coffee' for i in range(10))]
    dataset = load_dataset(write_csv(tmp_path / "x.csv", "\n".join(lines)))
    assert dataset.class_names == ("coffee", "tea, green")
    assert split_sizes(dataset) == {"train": 10, "val": 4, "test": 6}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns nothing: its first line must name path and label .*path and label is missing"),
        ("picture,label\na/000.png,x\n", "columns picture, label.*path is missing: type --path-column NAME"),
        ("path,label\n", "no rows"),
        (
            "path,label\na/000.png,x,\na/001.png,dog, golden\n",
            "line 3 has 3 cells, and the first line names 2 columns: put text with commas in it into quotes",
        ),
        ("path,label\na/000.png,x\n,y\n", "line 3: path is empty"),
        ("path,label\na/000.png,x\ngone.png,y\nb/999.png,y\n", "2 of 3 files do not exist, first gone.png"),
        ("path,label\na/000.png,x\na/000.png,y\n", "lists a/000.png twice, as x in train and as y in train: keep one"),
        ("path,label\na/000.png,x\na/001.png,x\n", 'has 1 class \\("x"\\), a classifier needs 2 or more'),
        ("path,label\na/000.png,Tea_Pot\na/001.png,tea pot\n", 'the class "tea pot" twice'),
        (
            "path,label,split\na/000.png,x,train\na/001.png,y,fold\n",
            'line 3: split is "fold": write train, val',
        ),
        ("path,label,split\na/000.png,x,test\na/001.png,y,val\n", 'call one split "train"'),
        ("path,label,split\na/000.png,x,train\na/001.png,y,test\n", 'class "y" has no images in train'),
    ],
)
def test_csv_errors(text: str, message: str, tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"a": 4})
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(write_csv(tmp_path / "x.csv", text))
    assert "\n" not in str(caught.value)


def test_a_field_without_end_is_told_by_its_line(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "long.csv", "path,label\na.png,x\nb.png," + "y" * 1_000_000 + "\n")
    with pytest.raises(DataError, match=r"long\.csv line 3 or one soon after is not CSV \(field larger than .*a quote"):
        load_dataset(file)
