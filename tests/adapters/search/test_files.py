"""What a search writes: the same bytes for the same question, every setting once, and errors that say what to type."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from adapters.errors import AdapterError, RunError
from tests.adapters.conftest import SEARCH_GRID

Make = Callable[..., Any]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_search_gives_the_same_files(search: Any, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        first = search()
        names = ("search.csv", "search.parquet", "alpha.svg")
        files = [(first.folder / name).read_bytes() for name in names]
        again = search()
    finally:
        torch.set_num_threads(before)
    assert files == [(again.folder / name).read_bytes() for name in names]


def test_the_files(search: Any, make_cache: Make) -> None:
    found = search("taskres", {**SEARCH_GRID, "epochs": (None, 3)}, shots=[1, 2])
    typed = pq.read_table(found.folder / "search.parquet")
    assert typed.to_pylist() == found.rows
    assert {name: str(typed.schema.field(name).type) for name in ("epochs", "alpha", "stopped_at", "chosen")} == {
        "epochs": "int64",
        "alpha": "double",
        "stopped_at": "int64",
        "chosen": "bool",
    }
    assert len(found.rows) == 2 * (1 + 16)
    assert {(row["select"], row["cache_digest"], row["method"]) for row in found.rows} == {
        ("support", make_cache().digest, "taskres")
    }
    with (found.folder / "search.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["alpha"] for line in lines] == [str(row["alpha"]) for row in found.rows]
    content = json.loads((found.folder / "search.json").read_text())
    tables = {name: (found.folder / name).read_bytes() for name in ("search.csv", "search.parquet")}
    assert content.pop("beside") == {name: hashlib.sha256(table).hexdigest() for name, table in tables.items()}
    assert content == json.loads(json.dumps(found.to_json()))
    assert content["grid"]["epochs"] == [None, 3]
    assert (content["settings"], content["trainings"]) == (16, 16 * 2 * 2)
    assert sorted(path.name for path in found.folder.iterdir()) == [
        "alpha.svg",
        "search.csv",
        "search.json",
        "search.parquet",
    ]


def test_the_folder_is_named_after_the_question(search: Any, root: Path) -> None:
    asked = {"out": None, "shots": [2], "seeds": [1]}
    first, again, other = search(**asked), search(**asked), search(**asked, select="val")
    assert first.folder.parent == root / "search"
    assert first.folder.name.startswith("shapes-tiny-taskres-")
    assert first.folder == again.folder != other.folder


def test_what_cannot_be_written_is_named_before_the_work(search: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="give another folder with --out"):
        search(out=tmp_path / "file")
    with pytest.raises(RunError, match="give another folder with --plot"):
        search(plot=tmp_path / "file" / "alpha.svg")


def test_a_picture_that_cannot_be_written_is_found_before_the_work(search: Any, tmp_path: Path) -> None:
    (tmp_path / "curve.svg").mkdir()
    with pytest.raises(AdapterError, match="--plot .*curve.svg is a folder"):
        search(plot=tmp_path / "curve.svg", shots=[2], seeds=[1])


def test_a_picture_that_cannot_be_written_is_named(search: Any, tmp_path: Path) -> None:
    place = tmp_path / "search" / "alpha.svg"
    place.mkdir(parents=True)
    with pytest.raises(RunError, match="such as --plot curve.svg") as error:
        search(shots=[2], seeds=[1])
    assert f"cannot write the picture {place} (" in str(error.value)
