"""A file is written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from featcache.places import whole
from featcache.places.folder import Folder
from featcache.places.whole import PARTIAL, check_writable, write_all, write_whole


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        write_whole(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert os.listdir(tmp_path) == ["file"]
    before = os.umask(0o022)
    try:
        write_whole(tmp_path / "readable", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "readable").stat().st_mode & 0o777 == 0o644


def test_an_error_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "file", b"old")

    def full(_: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(whole.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_what_a_killed_writer_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(str(tmp_path))
    left: list[str] = []
    monkeypatch.setattr(whole.os, "fsync", lambda _: left.extend(folder.names("bad")))
    folder.write_json("bad/one.json", {})  # while it is written, it is where a kill would leave it
    assert "one.json" not in left[:1]
    assert left[0].endswith(PARTIAL)
    (tmp_path / "bad" / left[0]).write_text("{")
    folder.remove_partial_files()
    assert folder.names("bad") == ["one.json"]


def test_none_of_several_takes_its_place_before_all_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("one", "two", "three")
    write_all({tmp_path / name: b"old" for name in names})
    written: list[int] = []

    def full_at_last(_: int) -> None:
        written.append(1)
        if len(written) == len(names):
            raise OSError("No space left on device")

    monkeypatch.setattr(whole.os, "fsync", full_at_last)
    with pytest.raises(OSError, match="No space left"):
        write_all({tmp_path / name: b"new" for name in names})
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == dict.fromkeys(names, b"old")


def test_what_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder" / "file.csv")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_bytes(b"kept")
    check_writable(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"kept"
    with pytest.raises(IsADirectoryError, match="it is a folder, expected a file"):
        check_writable(tmp_path)
    with pytest.raises(NotADirectoryError, match="it is a file, expected a folder"):
        check_writable(tmp_path / "file" / "below")
    if Path("/proc").is_dir():  # a folder that nobody can write to, root included
        with pytest.raises(OSError, match="nothing can be written there .*'/proc/page.html'"):
            check_writable(Path("/proc/page.html"))
