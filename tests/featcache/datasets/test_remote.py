"""Folders behind URLs: listed by one pass, read in any process, told without secrets."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from featcache.datasets.load import load_dataset
from featcache.datasets.readers import ahead
from featcache.datasets.readers.ahead import ReadAhead
from featcache.datasets.readers.remote import file_system, read_range, shown
from featcache.datasets.readers.url_folder import UrlFolder
from featcache.errors import DataError
from featcache.extraction.request import Request
from tests.layouts import write_tar
from tests.pictures import listing_of, make_class_folders, tiny_png


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(DataError, match=r"s3://none: Install s3fs to access S3: type `pip install 'featcache\[s3\]'`$"):
        load_dataset("s3://none/x/")


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    """A file system behind `memory://`."""
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()


def put(memory: MemoryFileSystem, folder: Path, url: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            memory.pipe(f"{url}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def test_class_folders_behind_a_url_are_those_of_a_folder(
    memory: MemoryFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_class_folders(tmp_path / "photos/train", {"cat": 3, "dog": 2})
    make_class_folders(tmp_path / "photos/val", {"cat": 2, "dog": 1})
    (tmp_path / "photos/train/cat/.hidden.png").write_bytes(b"x")
    (tmp_path / "photos/backup.tar").write_bytes(b"x")
    put(memory, tmp_path / "photos", "/bucket/photos")
    asked: list[str] = []
    for method in ("find", "ls", "info", "cat_file"):
        real = getattr(MemoryFileSystem, method)

        def count(self: Any, *args: Any, method: str = method, real: Any = real, **how: Any) -> Any:
            asked.append(method)
            return real(self, *args, **how)

        monkeypatch.setattr(MemoryFileSystem, method, count)
    here, there = load_dataset(str(tmp_path / "photos")), load_dataset("memory://bucket/photos/")
    assert listing_of(here) == listing_of(there)
    assert (there.name, there.location) == ("photos", "memory://bucket/photos")
    assert there.sizes_digest() == here.sizes_digest()
    assert asked.count("find") == 1
    assert "cat_file" not in asked
    assert there.reader.read("train/cat/002.png") == tiny_png(2)


def test_a_csv_behind_a_url_lists_images_beside_it(memory: MemoryFileSystem, tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"x": 4})
    (tmp_path / "mine.csv").write_text("path,label\n" + "".join(f"x/{n:03d}.png,{'ab'[n % 2]}\n" for n in range(4)))
    put(memory, tmp_path, "/bucket/set")
    there = load_dataset("memory://bucket/set/mine.csv")
    assert listing_of(there) == listing_of(load_dataset(str(tmp_path / "mine.csv")))
    assert there.reader.read("x/001.png") == tiny_png(1)
    memory.pipe("/bucket/set/mine.csv", b"path,label\nx/000.png,a\nx/999.png,b\n")
    with pytest.raises(
        DataError, match=r"1 of 2 files do not exist, first x/999\.png: paths are relative to memory://"
    ):
        load_dataset("memory://bucket/set/mine.csv")
    with pytest.raises(DataError, match=r"memory://bucket/set/gone\.csv cannot be read: not found"):
        load_dataset("memory://bucket/set/gone.csv")


def test_what_is_not_there_is_said_in_a_line(memory: MemoryFileSystem) -> None:
    with pytest.raises(DataError, match=r"memory://bucket/none .*expected one folder of images for each class"):
        load_dataset("memory://bucket/none/")
    with pytest.raises(DataError, match=r"nosuch://bucket: Protocol not known: nosuch"):
        load_dataset("nosuch://bucket/x/")
    with pytest.raises(DataError, match=r"memory://bucket/x\.zip is nothing that can be opened"):
        load_dataset("memory://bucket/x.zip")
    with pytest.raises(DataError, match=r"--data-root is for sets with a name, memory://bucket/x is a path"):
        load_dataset("memory://bucket/x", data_root="/")


def test_an_image_that_is_gone_is_an_os_error_with_its_url(memory: MemoryFileSystem) -> None:
    memory.pipe("/bucket/x.bin", bytes(range(10)))
    with pytest.raises(FileNotFoundError, match=r"^memory://bucket/gone\.png cannot be read: not found$"):
        UrlFolder("memory://bucket").read("gone.png")
    assert read_range("memory://bucket/x.bin", 2, 3) == bytes([2, 3, 4])
    with pytest.raises(DataError, match=r"x\.bin ends before byte 13: download it again"):
        read_range("memory://bucket/x.bin", 8, 5)


def test_the_listing_is_not_pickled(memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.pipe("/bucket/cat/1.png", b"x")
    folder = UrlFolder("memory://bucket")
    assert folder.paths() == ["cat/1.png"]
    size = len(pickle.dumps(folder))
    for number in range(100):
        memory.pipe(f"/bucket/cat/more{number}.png", b"x")
    again = UrlFolder("memory://bucket")
    assert len(again.paths()) == 101
    assert len(pickle.dumps(again)) == size
    elsewhere = pickle.loads(pickle.dumps(again.under("cat")))
    assert elsewhere.read("1.png") == b"x"
    monkeypatch.setattr(MemoryFileSystem, "find", None)  # a worker on another machine lists nothing
    assert list(elsewhere.sizes(["1.png", "2.png"])) == [1, -1]


def test_a_forked_process_has_a_file_system_of_its_own(memory: MemoryFileSystem) -> None:
    context = get_context("fork")
    queue = context.SimpleQueue()

    def tell() -> None:
        queue.put(id(file_system("memory://bucket")[0]))

    mine = id(file_system("memory://bucket")[0])
    assert mine == id(file_system("memory://bucket/other")[0])
    process = context.Process(target=tell)
    process.start()
    process.join()
    assert queue.get() != mine


def test_what_lies_one_behind_the_other_is_read_in_blocks(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(256)) * 400
    memory.pipe("/bucket/x.bin", content)
    monkeypatch.setattr(ahead, "BLOCK", 10_000)
    monkeypatch.setattr(ahead, "NEAR", 500)
    asked: list[int] = []

    def cat(self: Any, path: str, start: int, end: int, real: Any = MemoryFileSystem.cat_file) -> bytes:
        asked.append(end - start)
        return bytes(real(self, path, start, end))

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat)
    reader, url = ReadAhead(), "memory://bucket/x.bin"
    for start in range(0, len(content) - 1000, 1500):
        assert reader.read(url, start, 1000) == content[start : start + 1000]
    assert reader.read(url, len(content) - 700, 700) == content[-700:]
    assert len(asked) < 15
    asked.clear()
    for start in (50_000, 20_000, 90_000, 30_000):
        assert reader.read(url, start, 1000) == content[start : start + 1000]
    assert asked == [1000] * 4
    assert len(pickle.dumps(reader)) < 200
    assert pickle.loads(pickle.dumps(reader)).read(url, 5, 3) == content[5:8]
    reader.read(url, 100_000, 1000)
    with pytest.raises(DataError, match="ends before byte 103000"):
        reader.read(url, 101_000, 2000)


class Files(SimpleHTTPRequestHandler):
    """A folder over HTTP, also parts of its files."""

    parts = True
    dated = True

    def send_header(self, keyword: str, value: str) -> None:
        """Without the file's time, where it is not to be told."""
        if self.dated or keyword != "Last-Modified":
            super().send_header(keyword, value)

    def send_head(self) -> Any:
        """The file, or the part that is asked for."""
        path, asked = Path(self.translate_path(self.path)), self.headers.get("Range")
        if asked is None or not self.parts or not path.is_file():
            return super().send_head()
        first, last = map(int, asked.removeprefix("bytes=").split("-"))
        content = path.read_bytes()[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Range", f"bytes {first}-{first + len(content) - 1}/{path.stat().st_size}")
        self.end_headers()
        return io.BytesIO(content)

    def log_message(self, *words: Any) -> None:
        """Nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL of a folder over HTTP."""
    pytest.importorskip("aiohttp")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_samples(path: Path, labels: str) -> None:
    members = {}
    for number, label in enumerate(labels):
        members |= {f"{number}.png": tiny_png(number), f"{number}.cls": label.encode()}
    write_tar(path, members)


@pytest.mark.usefixtures("root")
def test_tars_behind_http_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for shard, labels in enumerate(("ab", "ba")):
        write_samples(tmp_path / f"shard-{shard:03d}.tar", labels)
    with served(tmp_path) as url:
        there = load_dataset(url + "/shard-{000..001}.tar")
        assert sorted(image for split in there.splits.values() for image in split.ids)[-1] == "shard-001/1.png"
        assert there.reader.read("shard-001/1.png") == tiny_png(1)
        with pytest.raises(DataError, match=r"http://127.*/shard-002\.tar cannot be read: not found; check the URL"):
            load_dataset(url + "/shard-{000..002}.tar")
        monkeypatch.setattr(Files, "parts", False)
        with pytest.raises(OSError, match=r"shard-000\.tar is not served in parts: download it"):
            there.reader.read("shard-000/1.png")


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("dated", [True, False], ids=["Last-Modified", "size alone"])
def test_labels_of_a_tar_that_changed_behind_http_are_the_new_ones(
    dated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Files, "dated", dated)
    with served(tmp_path) as url:
        for time, labels in enumerate(("abab", "baba")):  # of the same size
            write_samples(tmp_path / "x.tar", labels)
            os.utime(tmp_path / "x.tar", (time, time))
            splits = load_dataset(f"{url}/x.tar").splits.values()
            found = {
                image: "ab"[label] for split in splits for image, label in zip(split.ids, split.labels, strict=True)
            }
            assert found == {f"x/{number}.png": label for number, label in enumerate(labels)}


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("path", ["x.csv", "x.tar", "x/"])
def test_a_server_that_is_not_reached_or_refuses_is_not_told_as_an_absence(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path) as url:
        monkeypatch.setattr(Files, "send_head", lambda self: self.send_error(503, "asleep"))
        with pytest.raises(DataError, match=r"cannot be read: 503.*asleep"):
            load_dataset(f"{url}/{path}")
    with pytest.raises(DataError, match=r"cannot be read: Cannot connect to host"):
        load_dataset(f"{url}/{path}")


class Refusing(MemoryFileSystem):
    """Says in its error where it was asked."""

    protocol = "refusing"

    def find(self, path: str, *args: Any, **how: Any) -> Any:
        raise RuntimeError("403 for refusing://me:pass-word@host/x\nand more")

    def info(self, path: str, **how: Any) -> Any:
        raise RuntimeError("403 for refusing://me:pass-word@host/x.tar?sig=signature")


def test_no_secret_is_told() -> None:
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    with pytest.raises(DataError) as caught:
        load_dataset("refusing://me:pass-word@host/x")
    assert str(caught.value) == (
        "refusing://host/x cannot be read: 403 for refusing://…@host/x and more; "
        "check the URL, the credentials and the region"
    )
    with pytest.raises(DataError) as caught:
        load_dataset("refusing://me:pass-word@host/x.tar?sig=signature")
    assert str(caught.value).startswith(
        "refusing://host/x.tar cannot be read: 403 for refusing://…@host/x.tar?…; check"
    )
    assert shown("https://host/x.tar?sig=signature") == "https://host/x.tar"
    assert shown("/a/b?c@d") == "/a/b?c@d"


@pytest.mark.usefixtures("root")
def test_a_query_is_for_tars(tmp_path: Path) -> None:
    write_samples(tmp_path / "x.tar", "abab")
    with served(tmp_path) as url:
        there = load_dataset(f"{url}/x.tar?sig=a/b")
        assert (there.name, there.location) == ("x", f"{url}/x.tar")
        assert there.reader.read("x/1.png") == tiny_png(1)
    for path in ("x.csv", "x.parquet", "x", "x/"):
        with pytest.raises(DataError, match=r"http://host/x[^?]* is given with a query, which only a tar") as caught:
            load_dataset(f"http://host/{path}?sig=a/b")
        assert "sig" not in str(caught.value)


@pytest.mark.usefixtures("root")
def test_a_signature_that_the_library_spells_in_another_way_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Files, "send_head", lambda self: self.send_error(403, "not you"))
    with served(tmp_path) as url, pytest.raises(DataError) as caught:
        load_dataset(f"{url}/x.tar?sig=signature%2Fb")
    assert str(caught.value).startswith(f"{url}/x.tar cannot be read: 403, message='not you', url='{url}/x.tar?…'")


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("x.csv", {"data_root": "/"}),
        ("x.csv", {"split_file": "x.json"}),
        ("x.csv", {"class_depth": 1}),
        ("x.csv", {}),
        ("x.parquet", {}),
        ("x.zip", {}),
        ("x.tgz", {}),
        ("x.tar", {}),
        ("*.tar", {}),
        ("{x,x}.tar", {}),
        ("{x,y}.tar", {}),
        ("x", {}),
    ],
    ids=str,
)
@pytest.mark.usefixtures("root", "memory")
def test_no_refusal_tells_a_password(path: str, options: dict[str, Any]) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(f"memory://user:hunter2@host/{path}", **options)
    assert "hunter2" not in str(caught.value)


def test_a_bound_keeps_the_listing(memory: MemoryFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_class_folders(tmp_path, {"cat": 3, "dog": 3})
    put(memory, tmp_path, "/bucket/photos")
    there = Request(dataset="memory://bucket/photos/", model="tiny").load_dataset()
    monkeypatch.setattr(MemoryFileSystem, "info", None)  # a request an image, where there may be millions
    assert there.sizes_digest() == load_dataset(str(tmp_path)).sizes_digest()
