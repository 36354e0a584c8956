"""Readers in worker processes: what is pickled, and what a fork shares."""

from __future__ import annotations

import os
import pickle
import sys
import zipfile
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pytest

from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.readers.zip_archive import ZipReader
from featcache.errors import DataError


def make_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg"):
            archive.writestr(f"set/{name}", os.urandom(100_000))
        archive.writestr("set/.DS_Store", b"")
    return path


def test_zip_reader_is_pickled_without_its_open_archive(tmp_path: Path) -> None:
    reader = ZipReader(make_zip(tmp_path / "x.zip"), "set/")
    content = reader.read("dog/1.jpg")
    copy = pickle.loads(pickle.dumps(reader))
    assert copy == reader
    assert copy.read("dog/1.jpg") == content
    assert copy.paths() == ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"]
    assert copy.under("cat").paths() == ["1.jpg", "2.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
def test_forked_process_opens_the_archive_anew(tmp_path: Path) -> None:
    reader = ZipReader(make_zip(tmp_path / "x.zip"), "set/")
    reader.read("dog/1.jpg")
    (archive,) = reader._open.values()
    assert archive.fp is not None
    place = os.lseek(archive.fp.fileno(), 0, os.SEEK_CUR)
    process = get_context("fork").Process(target=reader.read, args=("cat/1.jpg",))
    process.start()
    process.join()
    assert process.exitcode == 0
    # The two processes would share one file position if they shared the handle.
    assert os.lseek(archive.fp.fileno(), 0, os.SEEK_CUR) == place


def test_damaged_member_is_named(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip")
    content = bytearray(path.read_bytes())
    content[1000] ^= 0xFF
    path.write_bytes(content)
    reader = ZipReader(path)
    with pytest.raises(DataError, match=r"x\.zip: cannot read member set/cat/1\.jpg: Bad CRC-32"):
        reader.read("set/cat/1.jpg")
    assert len(reader.read("set/cat/2.jpg")) == 100_000


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_of_any_compression_is_an_error_of_ours(kind: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", kind) as archive:
        archive.writestr("1.jpg", image := os.urandom(500) + bytes(500))
    content = (tmp_path / "x.zip").read_bytes()
    for place in range(35, len(content) - 120, 23):
        changed = content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
        (tmp_path / "changed.zip").write_bytes(changed)
        with suppress(DataError, OSError):
            assert ZipReader(tmp_path / "changed.zip").read("1.jpg") == image  # not every byte says something


def test_a_folder_in_an_archive_is_read_by_the_same_handle(tmp_path: Path) -> None:
    reader = ZipReader(make_zip(tmp_path / "x.zip"))
    inner = reader.under("set")
    inner.read("cat/1.jpg")
    reader.read("set/cat/1.jpg")
    assert [*inner._open.values()] == [*reader._open.values()]


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FolderReader(tmp_path).read("gone.jpg")
