"""No more than a bound is read, and nothing that is no file is waited for."""

from __future__ import annotations

import os
import pickle
import socket
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featcache.datasets.readers.bounded import with_most
from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.readers.table_rows import TableReader
from featcache.datasets.readers.tars import TarReader, scan
from featcache.datasets.readers.url_folder import UrlFolder
from featcache.datasets.readers.zip_archive import ZipReader
from featcache.errors import DataError

LARGE = "has more than 1,000 bytes: give a larger --max-bytes"


def readers(folder: Path) -> dict[str, tuple[Any, str]]:
    """A reader of each kind, and its id of a file of 1,001 zeros."""
    (folder / "files").mkdir()
    (folder / "files/x.png").write_bytes(bytes(1001))
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.png", bytes(1001))
    with tarfile.open(folder / "x.tar", "w") as tar:
        tar.add(folder / "files/x.png", "x.png")
    (member,) = scan(str(folder / "x.tar"))
    pq.write_table(pa.table({"image": [bytes(1001)]}), folder / "x.parquet")
    return {
        "folder": (FolderReader(folder / "files"), "x.png"),
        "zip": (ZipReader(folder / "x.zip"), "x.png"),
        "tar": (TarReader.of("x", [str(folder / "x.tar")], [("x.png", 0, member.start, member.size)]), "x.png"),
        "table": (TableReader(folder, "image"), "x.parquet/0"),
        "url": (UrlFolder(f"local://{folder}/files"), "x.png"),
    }


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "table", "url"])
def test_a_file_above_the_bound_is_refused(kind: str, tmp_path: Path) -> None:
    reader, image_id = readers(tmp_path)[kind]
    assert with_most(reader, 1001).read(image_id) == bytes(1001)
    bounded = pickle.loads(pickle.dumps(with_most(reader, 1000)))
    with pytest.raises(DataError, match=LARGE):
        bounded.read(image_id)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.png", bytes(100_000_000))
    tracemalloc.start()
    with pytest.raises(DataError, match=LARGE):
        with_most(ZipReader(tmp_path / "x.zip"), 1000).read("x.png")
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_what_is_no_file_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    os.symlink("/dev/zero", tmp_path / "device.png")
    reader = FolderReader(tmp_path)
    for name, told in (("pipe", "is a pipe and no file"), ("folder", "a folder|directory"), ("device", "is a device")):
        with pytest.raises((DataError, OSError), match=told):
            reader.read(f"{name}.png")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # a socket's path is short
        server.bind("socket.png")
        with pytest.raises(OSError, match="No such device"):
            reader.read("socket.png")
