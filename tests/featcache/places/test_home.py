"""Where things live: what is given, else the environment, else the default; never behind a URL what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from featcache.errors import CacheError
from featcache.places.home import DEFAULT_HOME, caches_location, datasets_folder, local_home, resolve_root, runs_folder


def test_what_is_given_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATCACHE_HOME", str(tmp_path / "environment"))
    assert resolve_root(tmp_path / "given") == str(tmp_path / "given")
    assert caches_location() == str(tmp_path / "environment/caches")
    monkeypatch.delenv("FEATCACHE_HOME")
    assert resolve_root() == str(Path(DEFAULT_HOME).expanduser().resolve())


def test_behind_a_url_are_caches_and_runs_and_here_the_runs_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATCACHE_HOME", "s3://bucket/home/")
    assert caches_location() == "s3://bucket/home/caches"
    default = Path(DEFAULT_HOME).expanduser()
    assert datasets_folder() == default / "datasets"
    assert runs_folder() == default / "copies" / "s3%3A%2F%2Fbucket%2Fhome" / "runs"


@pytest.mark.parametrize("root", ["S3://bucket/x", "s3:/bucket/x", "s3://", "gs:bucket"])
def test_a_mistyped_url_is_no_folder(root: str) -> None:
    with pytest.raises(CacheError, match="is neither a folder nor a URL; a URL is like s3://bucket/prefix"):
        resolve_root(root)
    assert resolve_root(f"./{root}") == str(Path(f"./{root}").resolve())


def test_what_cannot_live_behind_a_url_lives_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATCACHE_HOME", str(tmp_path))
    assert local_home("s3://bucket/x") == tmp_path
    monkeypatch.setenv("FEATCACHE_HOME", "s3://bucket/home")
    assert local_home() == Path(DEFAULT_HOME).expanduser()


def test_a_root_that_is_a_file_is_named_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FEATCACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(CacheError, match=r"file is a file, and the root that FEATCACHE_HOME names must be a folder"):
        caches_location()
    with pytest.raises(CacheError, match="that --root names"):
        resolve_root(tmp_path / "file")
