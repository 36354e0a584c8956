"""A folder on this machine and behind a URL behave alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from featcache.errors import CacheError
from featcache.places.folder import Folder, check_name, is_url, join, local_path


@pytest.fixture(params=["here", "url"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "c") if request.param == "here" else f"memory://{tmp_path.name}/c")


def test_json_goes_in_and_out_and_away(folder: Folder) -> None:
    assert folder.names() == []
    folder.write_json("bad/train-0.json", [{"row": 1, "id": "é"}])
    folder.write_json("bad/train-0.json", [{"row": 2, "id": "é"}])
    assert folder.read_json("bad/train-0.json") == [{"row": 2, "id": "é"}]
    assert (folder.names(), folder.names("bad")) == (["bad"], ["train-0.json"])
    folder.remove("bad")
    folder.remove("bad")
    assert not folder.exists("bad/train-0.json")
    with pytest.raises(FileNotFoundError):
        folder.read_json("bad/train-0.json")


def test_what_is_no_json_is_damage(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format":')
    with pytest.raises(CacheError, match="not valid JSON .*the cache is damaged"):
        Folder(str(tmp_path)).read_json("manifest.json")


def test_locations() -> None:
    assert [is_url(location) for location in ("s3://bucket/a", "file:///a", "/a", "a")] == [True, False, False, False]
    assert join("s3://bucket/", "a", "b") == "s3://bucket/a/b"
    assert join("/a", "b") == str(Path("/a/b"))
    assert local_path("file:///a/b") == Path("/a/b")
    with pytest.raises(CacheError, match="give a folder or a URL such as s3://"):
        Folder("nonsense://bucket")


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b", "a b"])
def test_names_stay_in_their_folder(name: str) -> None:
    check_name("a-b_c.1", "the name")
    with pytest.raises(CacheError, match=r"the name is .*expected letters, digits.*--name"):
        check_name(name, "the name")
