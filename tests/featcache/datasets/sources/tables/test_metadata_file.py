"""Hugging Face's image folders: labels beside the images."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featcache.datasets.load import load_dataset
from featcache.errors import DataError
from tests.layouts import write_metadata
from tests.pictures import draw_class_folders, listing_of, make_class_folders, split_sizes, tiny_png

KINDS = ("csv", "jsonl", "parquet")


def write(folder: Path, text: str, name: str = "metadata.csv", *, images: int = 4) -> str:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number in range(images):
        (folder / f"images/{number}.png").write_bytes(tiny_png(number))
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder)


def test_one_file_lists_images_in_folders(tmp_path: Path) -> None:
    rows = "".join(f"images/{number}.png,x,{'ab'[number % 2]}\n" for number in range(4))
    dataset = load_dataset(write(tmp_path, "\ufefffile_name,note,class\n" + rows))
    assert dataset.class_names == ("a", "b")
    assert sorted(image for split in dataset.splits.values() for image in split.ids)[2] == "images/2.png"
    assert dataset.reader.read("images/2.png") == tiny_png(2)
    assert dataset.provenance["class_names"] == "labels in metadata.csv"


def test_splits_are_the_folders_of_the_images(tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"train": 4, "Test": 3})
    listed = [(f"{folder}/{number:03d}.png", number % 2) for folder in ("train", "Test") for number in range(3)]
    rows = [json.dumps({"file_name": name, "label": label}) for name, label in listed]
    (tmp_path / "metadata.jsonl").write_text("\n".join([*rows, '{"file_name": "train/003.png", "label": null}', ""]))
    dataset = load_dataset(str(tmp_path))
    assert split_sizes(dataset) == {"train": 4, "test": 3}
    assert dataset.splits["test"].ids[0] == "Test/000.png"
    assert dataset.splits["train"].labels.tolist() == [0, 1, 0, -1]


def test_of_a_split_s_own_file_paths_begin_in_its_folder(tmp_path: Path) -> None:
    draw_class_folders(tmp_path / "photos/train", classes=2, per_class=2)
    draw_class_folders(tmp_path / "photos/test", classes=2, per_class=1)
    made = [write_metadata(tmp_path / "photos", tmp_path / kind, kind) for kind in KINDS]
    listings = {listing_of(load_dataset(str(folder))) for folder in made}
    assert len(listings) == 1
    dataset = load_dataset(str(tmp_path / "parquet"))
    assert list(dataset.splits["test"].ids) == ["test/0.png", "test/1.png"]
    (tmp_path / "csv/test").rename(tmp_path / "csv/Test")
    assert load_dataset(str(tmp_path / "csv")).splits["test"].ids[0] == "Test/0.png"


def test_captions_are_no_labels_and_leave_class_folders_what_they_are(tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"cat": 3, "dog": 3})
    (tmp_path / "metadata.csv").write_text("file_name,text\ncat/000.png,a cat\n")
    assert load_dataset(str(tmp_path)).labels == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file_name,label\nimages/0.png,a\nimages/0.png,b\n", r"metadata\.csv lists images/0\.png twice"),
        ("file_name,label\nimages/0.png,a\n,b\n", r"metadata\.csv row 2 has no file_name"),
        (
            "file_name,label\nimages/0.png,a\nimages/9.png,b\n",
            r"1 of 2 files in metadata\.csv do not exist, first images",
        ),
        ("file_name,label\nimages/0.png,a\nimages/1.png,a\n", "has 1 class"),
    ],
)
def test_errors(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_what_is_not_the_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"metadata\.jsonl cannot be read \(.*\): save it"):
        load_dataset(write(tmp_path, '{"file_name": "images/0.png", "label": "a"}\n{', "metadata.jsonl"))
    with pytest.raises(DataError, match=r"metadata\.jsonl cannot be read \(a line is no JSON object\): save it"):
        load_dataset(write(tmp_path, "5\n", "metadata.jsonl"))
    with pytest.raises(DataError, match="a split file does not go with"):
        load_dataset(write(tmp_path, '{"file_name": "images/0.png", "label": "a"}', "metadata.jsonl"), split_file="x")


def test_a_damaged_parquet_file_is_told_as_such(tmp_path: Path) -> None:
    table = pa.table({"file_name": [f"images/{n}.png" for n in range(2000)], "label": ["a", "b"] * 1000})
    pq.write_table(table, tmp_path / "metadata.parquet", compression="zstd", use_dictionary=False)
    content = bytearray((tmp_path / "metadata.parquet").read_bytes())
    content[100:140] = bytes(40)
    (tmp_path / "metadata.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"metadata\.parquet is damaged \(.*\): write or download it again$"):
        load_dataset(str(tmp_path))
