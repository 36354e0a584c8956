"""Parquet files of path,label[,split]: the same as the CSV of the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featcache.datasets.dataset import Dataset
from featcache.datasets.load import load_dataset
from featcache.datasets.sources.tables import parquet_listing
from featcache.errors import DataError
from tests.pictures import listing_of, make_class_folders, tiny_png

NAMES = [f"x/{i:03d}.png" for i in range(8)] + ["é/000.png", "é/001.png"]
SPLITS = ["train", "Training", "test", "val", "train", "test", "train", " valid ", "train", "test"]
LABELS = ["10", "9", "10", "9", "9", "9", "10", "10", "9", "10"]


def write_both(folder: Path, table: pa.Table) -> tuple[Dataset, Dataset]:
    """What the CSV and the Parquet file of these rows list, beside their images."""
    make_class_folders(folder, {"x": 8, "é": 2})
    pq.write_table(table, folder / "mine.parquet")
    columns = [table[name].to_pylist() for name in table.column_names]
    lines = [",".join(table.column_names), *(",".join(map(str, row)) for row in zip(*columns, strict=True))]
    (folder / "mine.csv").write_text("\n".join(lines))
    return load_dataset(str(folder / "mine.csv")), load_dataset(str(folder / "mine.parquet"))


@pytest.mark.parametrize(
    "labels",
    [
        pa.array(LABELS),
        pa.array([f" {label} " for label in LABELS], pa.large_string()),
        pa.array(LABELS).dictionary_encode(),
        pa.array(map(int, LABELS), pa.int16()),
    ],
    ids=["text", "text with space around", "dictionary", "numbers"],
)
@pytest.mark.parametrize("split", [True, False])
def test_it_is_the_csv_of_the_same_rows(
    labels: Any, split: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_listing, "BLOCK", 3)  # several batches
    columns = {"label": labels, "note": pa.nulls(10), "path": pa.array(NAMES)} | ({"split": SPLITS} if split else {})
    csv, parquet = write_both(tmp_path, pa.table(columns))
    assert listing_of(parquet) == listing_of(csv)
    assert parquet.class_names == csv.class_names == ("9", "10")
    assert list(parquet.splits) == ["train", "val", "test"]
    for name in csv.splits:
        assert parquet.splits[name].ids.padded.shape == csv.splits[name].ids.padded.shape  # type: ignore[attr-defined]
        assert parquet.splits[name].labels.dtype == np.int64
    assert parquet.reader.read("x/003.png") == tiny_png(3)


def test_bytes_beside_paths_are_images_only_where_the_table_says_so(tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"x": 4})
    content = [tiny_png(number) for number in range(4)]
    rows = pa.table({"sha256": content, "path": [f"x/{n:03d}.png" for n in range(4)], "label": [*"abab"]})
    pq.write_table(rows, tmp_path / "x.parquet")
    assert load_dataset(str(tmp_path / "x.parquet")).splits["train"].ids[0].startswith("x/")
    described = rows.replace_schema_metadata({"huggingface": '{"info": {"features": {"sha256": {"_type": "Image"}}}}'})
    nested = rows.set_column(0, "image", pa.array([{"bytes": each} for each in content]))
    for images in (described, nested):
        pq.write_table(images, tmp_path / "x.parquet")
        assert load_dataset(str(tmp_path / "x.parquet")).splits["train"].ids[0].startswith("x.parquet/")


def table(**columns: list[Any]) -> pa.Table:
    return pa.table(columns)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (table(picture=["a/000.png"], label=["x"]), "columns picture, label: .*path is missing: type --path-column"),
        (table(path=pa.array([], pa.string()), label=pa.array([], pa.string())), "no rows"),
        (table(path=["a/000.png", " "], label=["x", None]), "row 2: path is empty"),
        (
            table(path=["a/000.png", "gone.png", "b/999.png"], label=["x", "y", "y"]),
            "2 of 3 files do not exist, first gone.png",
        ),
        (table(path=["a/000.png", "a/000.png"], label=["x", "y"]), "lists a/000.png twice"),
        (
            table(
                path=["a/000.png", "./a/001.png", "a/000.png"], label=["x", "y", "y"], split=["train", "train", "test"]
            ),
            "lists a/000.png twice",
        ),
        (table(path=["a/000.png", "a/001.png"], label=["x", "x"]), 'has 1 class \\("x"\\)'),
        (
            table(path=["a/000.png", "a/001.png"], label=["x", "y"], split=["train", "fold"]),
            'row 2: split is "fold": write train, val or test',
        ),
        (table(path=["a/000.png"], label=["x"], split=["test"]), "has 1 class"),
        (table(path=["a/000.png", "a/001.png"], label=[0.5, 1.0]), "label holds double: write text or whole numbers"),
        (table(path=[1, 2], label=["x", "y"]), "path holds int64: write text$"),
    ],
)
def test_errors(rows: pa.Table, message: str, tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"a": 4})
    pq.write_table(rows, tmp_path / "x.parquet")
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(str(tmp_path / "x.parquet"))
    assert "\n" not in str(caught.value)


def test_what_is_no_parquet_file_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("path,label\n")
    with pytest.raises(DataError, match="not a readable Parquet file .*write or download it again") as caught:
        load_dataset(str(tmp_path / "x.parquet"))
    assert "\n" not in str(caught.value)
