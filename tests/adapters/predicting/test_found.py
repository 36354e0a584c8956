from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import AdapterError
from adapters.predicting.found import check_paths, find_images
from featcache.encoding.given import Unreadable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.PNG", "a/z.jpg", "a/a.jpg", ".hidden/c.png", "a/.d.png", "e.txt", "[x].png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_folders_give_their_images_sorted_without_hidden_ones(folder: Path) -> None:
    names = [str(folder / name) for name in ("[x].png", "a/a.jpg", "a/z.jpg", "b.PNG")]
    assert list(find_images([str(folder)])) == names
    assert list(find_images([str(folder / "e.txt")])) == [str(folder / "e.txt")]  # asked for by name
    assert list(find_images([str(folder / "[x].png")])) == [str(folder / "[x].png")]  # a file before a pattern


def test_patterns_give_what_they_match(folder: Path) -> None:
    assert list(find_images([str(folder / "**" / "*.jpg")])) == [
        str(folder / "a" / name) for name in ("a.jpg", "z.jpg")
    ]
    every = list(find_images([str(folder)]))
    assert list(find_images([str(folder / "**")])) == every  # which matches folders and what is in them: each once
    assert list(find_images([str(folder / "?.tif")])) == [Unreadable(str(folder / "?.tif"), "no file matches")]


def test_what_leads_to_nothing_is_told(folder: Path) -> None:
    nothing = [str(folder / "empty"), str(folder / "nowhere.png")]
    assert list(find_images(nothing)) == [
        Unreadable(nothing[0], "the folder holds no images"),
        Unreadable(nothing[1], "no such file or folder"),
    ]
    check_paths(nothing)
    with pytest.raises(AdapterError, match=r"no such file or folder: .*nowhere.png; give image files"):
        check_paths(nothing[1:])
    with pytest.raises(AdapterError, match="download it first"):
        check_paths(["s3://bucket/a.png"])


def test_a_list_on_standard_input_is_read_as_it_comes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = os.fsencode(folder) + b"/caf\xe9.png"  # Latin-1, as an old disk has it
    Path(os.fsdecode(named)).touch()
    typed = f"{folder / 'a' / 'z.jpg'}\n\n{folder / 'a'}\r\n".encode() + named + b"\n"
    lines = io.BytesIO(typed)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(lines, encoding="utf-8"))
    found = find_images(["-"])
    assert next(found) == str(folder / "a" / "z.jpg")
    assert lines.tell() < len(typed)
    assert list(found) == [str(folder / "a" / "a.jpg"), str(folder / "a" / "z.jpg"), os.fsdecode(named)]


def test_a_folder_that_cannot_be_read_is_told_and_the_rest_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = os.scandir

    def refusing(path: str) -> Any:
        if path == str(folder / "a"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return there(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert list(find_images([str(folder)])) == [
        str(folder / "[x].png"), Unreadable(str(folder / "a"), "Permission denied"), str(folder / "b.PNG"),
    ]  # fmt: skip


def test_links_in_a_circle_are_named(folder: Path) -> None:
    (folder / "a" / "up").symlink_to(folder)
    with pytest.raises(Exception, match="is a link to .*, a folder that holds it"):
        list(find_images([str(folder)]))
