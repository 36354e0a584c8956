from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from adapters.errors import AdapterError
from adapters.predicting.out_file import FORMATS, OutFile
from adapters.predicting.predictor import Prediction, RankedClass
from featcache.show.spreadsheet import BYTE_ORDER_MARK

RUN = "tip-4shot@12345678"
ITEMS = (
    Prediction(
        'a,"b"\nc.png',
        "sea, lake",
        0.75,
        (RankedClass("sea, lake", 0.75), RankedClass("river", 0.25)),
        ("river",),
        True,
    ),
    Prediction("=bad.png", error="the file is empty"),
    Prediction("ü/\udcff.png", "river", 1.0, (RankedClass("river", 1.0), RankedClass("=1+1", 0.0)), (), False),
)
SUFFIXES = sorted(FORMATS)


def write(path: Path, *items: Prediction) -> None:
    file = OutFile(path, RUN, 2)
    for item in items:
        file.write(item)
    file.finish()


def files(path: Path) -> list[str]:
    """The names in the file, as its own readers have them."""
    if path.suffix == ".parquet":
        return pq.read_table(path)["file"].to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line)["file"] for line in path.read_text().splitlines()]
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    return [row["file"] for row in rows]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_are_found_again_whatever_the_names(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"found{suffix}"
    write(path, *ITEMS[:2])
    again = OutFile(path, RUN, 2)
    assert [again.has(item.id) for item in ITEMS] == [True, True, False]
    again.write(ITEMS[2])
    again.finish()
    third, place = OutFile(path, RUN, 2), path.stat().st_ino
    assert [third.has(item.id) for item in ITEMS] == [True] * 3
    third.finish()
    assert path.stat().st_ino == place  # where nothing was to be done it is not written again
    assert [name.lstrip("'") for name in files(path)] == ['a,"b"\nc.png', "=bad.png", "ü/\\udcff.png"]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_csv_is_a_spreadsheet_s(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", *ITEMS)
    text = (tmp_path / "a.csv").read_text(encoding="utf-8")
    assert text[0] == BYTE_ORDER_MARK
    columns = ["file", "class_1", "probability_1", "class_2", "probability_2", "set", "rejected", "error", "run"]
    assert list(csv.reader(io.StringIO(text[1:], newline=""))) == [
        columns,
        ['a,"b"\nc.png', "sea, lake", "0.750000", "river", "0.250000", "river", "true", "", RUN],
        ["'=bad.png", "", "", "", "", "", "", "the file is empty", RUN],
        ["ü/\\udcff.png", "river", "1.000000", "'=1+1", "0.000000", "", "false", "", RUN],
    ]


def test_lines_and_parquet_hold_what_json_does(tmp_path: Path) -> None:
    for suffix in (".jsonl", ".parquet"):
        write(tmp_path / f"a{suffix}", *ITEMS[:2])
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert rows[0]["classes"] == [{"name": "sea, lake", "probability": 0.75}, {"name": "river", "probability": 0.25}]
    assert rows[1] == {
        "file": "=bad.png", "classes": [], "set": None, "rejected": None, "error": "the file is empty", "run": RUN,
    }  # fmt: skip
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == rows


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_wherever_it_was_cut_off_the_rows_end_the_same(tmp_path: Path, suffix: str) -> None:
    """Killed at any byte: what is half written is written again, and nothing is there twice."""
    write(tmp_path / f"whole{suffix}", *ITEMS)
    whole = files(tmp_path / f"whole{suffix}")
    lines = tmp_path / (f"cut{suffix}.partial.jsonl" if suffix == ".parquet" else f"cut{suffix}")
    file = OutFile(tmp_path / f"cut{suffix}", RUN, 2)
    file.flush()
    rows_of = [lines.read_bytes()]
    for item in ITEMS:
        file.write(item)
        file.flush()
        rows_of.append(lines.read_bytes())
    file.close()
    content = lines.read_bytes()
    for end in range(len(content) + 1):
        lines.write_bytes(content[:end])
        OutFile(tmp_path / f"cut{suffix}", RUN, 2).close()
        assert lines.read_bytes() == max((rows for rows in rows_of if len(rows) <= end), key=len, default=rows_of[0])
        file = OutFile(tmp_path / f"cut{suffix}", RUN, 2)
        for item in ITEMS:
            if not file.has(item.id):
                file.write(item)
        file.close()
        assert lines.read_bytes() == content, end
    file.finish()
    assert files(tmp_path / f"cut{suffix}") == whole


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_another_are_refused_and_left_as_they_are(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, *ITEMS)
    before = path.read_bytes()
    with pytest.raises(AdapterError, match=rf"--out {path}: it holds answers of run {RUN}, not of other@1.*remove it"):
        OutFile(path, "other@1", 2)
    if suffix != ".parquet":
        with pytest.raises(AdapterError, match="expected"):
            OutFile(path, RUN, 1)
    assert path.read_bytes() == before
    for foreign in (b"my notes", b"my notes\n", b"file,class_1\nx,y\n", b"\xff\xfe\n", b"{}\n", b"[1]\n", b"PAR1"):
        path.write_bytes(foreign)
        with pytest.raises(AdapterError, match=rf"--out {path}: .*give another file, or remove it"):
            OutFile(path, RUN, 2)
        assert path.read_bytes() == foreign


def test_lines_that_parquet_was_made_of_are_not_put_in_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed when the file was in place and the lines were still there."""
    path = tmp_path / "a.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        write(path, *ITEMS[:2])
    assert len(list(tmp_path.iterdir())) == 2
    write(path, ITEMS[2])
    assert len(files(path)) == 3
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"--out .*a.txt given; expected a file that ends in .csv, .jsonl, .parquet"):
        OutFile(tmp_path / "a.txt", RUN, 2)
    with pytest.raises(AdapterError, match="there is no folder"):
        OutFile(tmp_path / "none" / "a.csv", RUN, 2)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(AdapterError, match="is no regular file"):
        OutFile(tmp_path / "folder.csv", RUN, 2)
    (tmp_path / "b.csv").symlink_to("/proc/nothing/b.csv")
    with pytest.raises(AdapterError, match="cannot be written"):
        OutFile(tmp_path / "b.csv", RUN, 2)
    assert os.listdir(tmp_path / "folder.csv") == []
