"""Tables with an image column: which columns, which splits, and what is refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featcache.datasets.load import load_dataset
from featcache.datasets.readers import table_rows
from featcache.datasets.readers.table_rows import TableReader
from featcache.datasets.sources.image_tables import Columns
from featcache.errors import DataError
from tests.layouts import image_table
from tests.pictures import split_sizes, tiny_png

ROWS = [(f"{number}", ("cat", "dog")[number % 2], tiny_png(number)) for number in range(12)]


def write(path: Path, table: pa.Table, **how: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **how)
    return str(path)


def test_rows_are_read_in_any_order_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_rows, "BATCH", 2)
    write(tmp_path / "x.parquet", image_table(ROWS), row_group_size=5)
    write(tmp_path / "y.parquet", image_table(ROWS[::-1]))
    reader = TableReader(tmp_path, "image")
    rows = (0, 1, 4, 5, 3, 11, 11, 0, 9, 5)
    assert [reader.read(f"x.parquet/{row}") for row in rows] == [tiny_png(row) for row in rows]
    assert [reader.read(f"y.parquet/{row}") for row in rows] == [tiny_png(11 - row) for row in rows]
    assert pickle.loads(pickle.dumps(reader)).read("x.parquet/7") == tiny_png(7)
    sizes = list(reader.sizes(f"x.parquet/{row}" for row in range(12)))
    assert len(set(sizes[:5])) == len(set(sizes[5:10])) == 1  # of the row group, from the end of the file
    assert sizes[0] != sizes[10]
    assert list(reader.sizes(["gone.parquet/0", "x.parquet/0"])) == [-1, sizes[0]]


def test_rows_of_a_damaged_page_are_unreadable_and_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_rows, "BATCH", 2)
    path = Path(
        write(
            tmp_path / "x.parquet",
            image_table(ROWS),
            row_group_size=6,
            compression="none",
            use_dictionary=False,
        )
    )
    content = bytearray(path.read_bytes())
    for_images, _, for_labels = (
        pq.ParquetFile(path).metadata.row_group(1).column(n).data_page_offset for n in range(3)
    )
    content[for_images : for_images + 8] = b"\xff" * 8  # the page's header
    path.write_bytes(content)
    reader = TableReader(tmp_path, "image")
    for row in (6, 7, 9):
        with pytest.raises(DataError, match=r"x\.parquet is damaged \(.*page header.*\): write or download it again"):
            reader.read(f"x.parquet/{row}")
    assert reader.read("x.parquet/5") == tiny_png(5)
    content[for_labels : for_labels + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.parquet is damaged \(.*page header.*\): write or download it again"):
        load_dataset(str(path))
    (tmp_path / "x.parquet").unlink()
    with pytest.raises(FileNotFoundError):
        TableReader(tmp_path, "image").read("x.parquet/5")


def test_labels_are_words_numbers_or_coded(tmp_path: Path) -> None:
    words = load_dataset(write(tmp_path / "words.parquet", image_table(ROWS)))
    assert (words.name, words.class_names) == ("words", ("cat", "dog"))
    assert split_sizes(words) == {"train": 6, "val": 2, "test": 4}
    coded = load_dataset(write(tmp_path / "coded.parquet", image_table(ROWS, classes=["dog", "cat"])))
    assert coded.class_names == ("dog", "cat")
    assert coded.provenance["class_names"] == "column label"
    numbers = image_table(ROWS).set_column(1, "label", pa.array([number % 2 + 9 for number in range(12)]))
    assert load_dataset(write(tmp_path / "numbers.parquet", numbers)).class_names == ("9", "10")


def test_rows_without_a_label_are_rows(tmp_path: Path) -> None:
    table = image_table(ROWS, classes=["cat", "dog"])
    labels = pa.array([-1, None, *(number % 2 for number in range(10))])
    dataset = load_dataset(write(tmp_path / "x.parquet", table.set_column(1, "label", labels)))
    assert split_sizes(dataset) == {"train": 4 + 2, "val": 2, "test": 4}
    assert [image for image, y in zip(*vars(dataset.splits["train"]).values(), strict=True) if y == -1] == [
        "x.parquet/0",
        "x.parquet/1",
    ]


def test_splits_are_named_by_files_and_folders(tmp_path: Path) -> None:
    table = image_table(ROWS)
    for name in ("train/0000.parquet", "validation/0000.parquet", "data-test.PARQUET", "extra.parquet"):
        write(tmp_path / name, table)
    write(tmp_path / "metadata.parquet", pa.table({"about": ["all of it"]}))
    dataset = load_dataset(str(tmp_path))
    assert split_sizes(dataset) == {"train": 12, "val": 12, "test": 12}
    assert dataset.splits["val"].ids[3] == "validation/0000.parquet/3"
    assert dataset.provenance["left_out"] == {"in files that name no split": 12}


def columns(features: dict[str, Any] | None = None, **types: pa.DataType) -> tuple[str | None, str | None]:
    schema = pa.schema([pa.field(name, kind) for name, kind in types.items()])
    if features is not None:
        schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    found = Columns.of(schema)
    return found.image, found.label


def test_columns_are_found_by_description_type_and_name() -> None:
    bytes_, text, number = pa.binary(), pa.string(), pa.int64()
    picture = pa.struct([("bytes", bytes_), ("path", text)])
    assert columns(img=picture, label=pa.dictionary(pa.int8(), text)) == ("img", "label")
    assert columns(img=picture, fine=number) == ("img", None)
    assert columns(mask=bytes_, img=picture, category=text, id=number) == ("img", "category")
    assert columns(jpg=pa.large_binary(), cls=number) == ("jpg", "cls")
    assert columns(label=pa.list_(number), **{"class": text}, img=bytes_) == ("img", "class")
    coarse, fine = ({"_type": "ClassLabel", "names": list("abcdef"[:n])} for n in (2, 5))
    described = {"coarse": coarse, "fine": fine, "photo": {"_type": "Image"}, "tags": [{"_type": "Value"}]}
    assert columns(described, mask=picture, photo=picture, coarse=number, fine=number) == ("photo", "fine")
    assert columns({"label": coarse, "fine": fine}, img=picture, fine=number, label=number) == ("img", "label")


def test_of_a_saved_folder_only_the_files_that_it_names_are_read(tmp_path: Path) -> None:
    table = image_table(ROWS)
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for name in ("data-00000-of-00001.arrow", "cache-0123.arrow"):
            with pa.OSFile(str(tmp_path / split / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table, max_chunksize=5)
        (tmp_path / split / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
    dataset = load_dataset(str(tmp_path))
    assert split_sizes(dataset) == {"train": 12, "test": 12}
    assert dataset.reader.read("test/data-00000-of-00001.arrow/7") == tiny_png(7)
    assert list(dataset.reader.sizes(dataset.splits["test"].ids)) == [len(content) for _, _, content in ROWS]
    (tmp_path / "train/state.json").unlink()
    (tmp_path / "test/state.json").unlink()
    assert split_sizes(load_dataset(str(tmp_path))) == {"train": 24, "test": 24}


def test_what_cannot_be_listed_is_said_in_a_line(tmp_path: Path) -> None:
    def refuses(name: str, message: str, **options: object) -> None:
        with pytest.raises(DataError, match=message) as caught:
            load_dataset(str(tmp_path / name), **options)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)

    table = image_table(ROWS)
    write(tmp_path / "nameless/x.parquet", table.rename_columns(["image", "kind"]))
    refuses("nameless", r"x\.parquet has the columns image, kind, and none of labels: call it label")
    write(tmp_path / "blind/x.parquet", table.select(["label"]))
    refuses("blind", r"has the columns label, and none of images")
    write(tmp_path / "two/x.parquet", table)
    write(tmp_path / "two/y.parquet", image_table(ROWS, classes=["cat", "dog"]))
    refuses("two", r"y\.parquet has other columns or classes than x\.parquet")
    for number in (0, 2):
        write(tmp_path / f"part/train-{number:05d}-of-00004.parquet", table)
    refuses("part", r"part lacks 2 of 4 files, first train-00001-of-00004\.parquet: download them again")
    whole = Path(write(tmp_path / "whole.parquet", table)).read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[:-20])
    refuses("cut.parquet", r"cut\.parquet is not a readable Parquet file")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/data-00000-of-00001.arrow").write_bytes(whole)
    refuses("saved", r"\.arrow is not a readable Arrow file")
    coded = image_table(ROWS, classes=["cat", "dog"]).set_column(1, "label", pa.array([7] * 12))
    write(tmp_path / "far.parquet", coded)
    refuses("far.parquet", "has the label 7 and 2 classes")
    refuses("whole.parquet", r"a split file does not go with whole\.parquet: name the files", split_file="x.json")
    refuses("whole.parquet", "--class-depth is for a folder", class_depth=2)


def test_a_row_without_bytes_is_an_unreadable_image(tmp_path: Path) -> None:
    table = pa.table({"image": [{"bytes": None, "path": "away/1.png"}, {"bytes": b"x", "path": None}]})
    write(tmp_path / "x.parquet", table)
    reader = TableReader(tmp_path, "image")
    with pytest.raises(DataError, match=r"no bytes of the image, only the path away/1\.png"):
        reader.read("x.parquet/0")
    assert reader.read("x.parquet/1") == b"x"
