"""A folder on this machine and behind a URL behave alike."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from featcache.errors import CacheError
from featcache.places.folder import Folder, check_name, is_url, join, local_path
from featcache.places.home import resolve_root


@pytest.fixture(params=["here", "url"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, in_memory: None) -> Folder:
    return Folder(str(tmp_path / "c") if request.param == "here" else "s3://bucket/c")


def test_json_goes_in_and_out_and_away(folder: Folder) -> None:
    assert folder.names() == []
    folder.write_json("bad/train-0.json", [{"row": 1, "id": "é"}])
    folder.write_json("bad/train-0.json", [{"row": 2, "id": "é"}])
    assert folder.read_json("bad/train-0.json") == [{"row": 2, "id": "é"}]
    assert (folder.names(), folder.names("bad")) == (["bad"], ["train-0.json"])
    folder.remove("bad/train-0.json", "bad/train-2.json")
    assert not folder.exists("bad/train-0.json")
    assert folder.find_json("bad/train-0.json") is None
    with pytest.raises(FileNotFoundError):
        folder.read_json("bad/train-0.json")
    folder.write_json("text/a/zarr.json", {})
    folder.write_json("text/a-b/zarr.json", {})
    folder.remove_folder("text/a")
    folder.remove_folder("text/a")
    assert folder.names("text") == ["a-b"]


def test_what_is_no_json_is_damage(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format":')
    with pytest.raises(CacheError, match="is damaged: it is not JSON"):
        Folder(str(tmp_path)).read_json("manifest.json")


def test_locations() -> None:
    assert [is_url(location) for location in ("s3://bucket/a", "file:///a", "/a", "a")] == [True, False, False, False]
    assert join("s3://bucket/", "a", "b") == "s3://bucket/a/b"
    assert join("/a", "b") == str(Path("/a/b"))
    assert local_path("file:///a/b") == Path("/a/b")
    with pytest.raises(CacheError, match="no known store; give a folder, or a URL: s3://bucket/prefix, gs://"):
        Folder("nonsense://bucket")


@pytest.mark.parametrize("url", ["s3://KEY:SECRET@bucket/a", "gs://SECRET@bucket", "az://bucket/a?sig=SECRET"])
def test_a_url_with_a_secret_is_refused_and_not_repeated(url: str) -> None:
    for door in (Folder, resolve_root):
        with pytest.raises(CacheError, match="holds credentials or a query") as refused:
            door(url)
        assert "SECRET" not in str(refused.value)


def test_of_two_that_create_a_file_one_is_told_so(in_memory: None) -> None:
    folder = Folder("s3://bucket/c")
    assert folder.create_json("writer.json", {"token": "a"})
    assert not folder.create_json("writer.json", {"token": "b"})
    assert folder.read_json("writer.json") == {"token": "a"}


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b", "a b"])
def test_names_stay_in_their_folder(name: str) -> None:
    check_name("a-b_c.1", "the name")
    with pytest.raises(CacheError, match=r"the name is .*expected letters, digits.*--name"):
        check_name(name, "the name")


def test_python_without_assertions_is_refused_in_a_line(tmp_path: Path) -> None:
    code = "import sys; from featcache.places.folder import Folder; Folder(sys.argv[1]).group('a')"
    for option in ("-O", "-OO"):
        done = subprocess.run([sys.executable, option, "-c", code, str(tmp_path)], capture_output=True, text=True)
        assert done.stderr.splitlines()[-1].endswith("leave -O and PYTHONOPTIMIZE out"), done.stderr
    assert list(tmp_path.iterdir()) == []
