"""`featcache remove`: asks, says what was made from it, and leaves no half cache."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import typer

import cli
from featcache.cache.catalogue import list_caches
from featcache.cache.plan import ShardPlan
from featcache.cache.removing import find_cache, made_from, remove_cache, remove_leftovers
from featcache.cache.writing import shards_left
from featcache.commands.remove import remove
from featcache.commands.shared import confirm
from featcache.errors import CacheError, CacheLocked, CacheNotFound
from featcache.places.folder import Folder
from featcache.places.lock import OWNER, writing
from tests.begun import begin
from tests.buckets import serving
from tests.conftest import ImageFolder


@pytest.fixture
def begun(root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """An unfinished cache, called c."""
    return begin(image_folder(per_class=5), root, monkeypatch)


def result_of(root: Path, begun: Folder) -> Path:
    digest = begun.read_json("manifest.json")["digest"]
    record = root / "runs/photos/tiny/clip-4shot/metrics.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"cache_digest": digest}))
    return record.parent


def test_nobody_can_be_asked_without_a_terminal(root: Path, begun: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    run = result_of(root, begun)
    with pytest.raises(CacheError, match="Remove the cache .*type --yes"):
        remove("c", yes=False, root=None)
    assert str(run) in capsys.readouterr().err
    remove("c", yes=True, root=None, json=True)
    assert json.loads(capsys.readouterr().out) == {"removed": begun.location, "made_from_it": [str(run)]}
    assert list_caches() == []
    assert run.is_dir()
    assert os.listdir(root / "caches") == []
    with pytest.raises(CacheNotFound):
        remove("c", yes=True)


@pytest.mark.parametrize(("answer", "there"), [(False, True), (True, False)])
def test_an_answer_on_a_terminal_counts(
    begun: Folder, monkeypatch: pytest.MonkeyPatch, answer: bool, there: bool
) -> None:
    monkeypatch.setattr(confirm.sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr(typer, "confirm", lambda question, err: answer)
    if there:
        with pytest.raises(typer.Exit):
            remove("c")
    else:
        remove("c")
    assert begun.exists("manifest.json") is there


def test_what_is_written_is_not_removed(begun: Folder) -> None:
    with writing(begun), pytest.raises(CacheLocked, match="has been writing"):
        remove("c", yes=True)
    assert begun.exists("manifest.json")


def test_one_that_was_killed_before_its_manifest_is_found(root: Path) -> None:
    (root / "caches/early").mkdir(parents=True)
    (root / "caches/early/writer.lock").touch()
    remove("early", yes=True)
    assert os.listdir(root / "caches") == []


def test_a_kill_while_it_is_deleted_leaves_no_cache(root: Path, begun: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (pid := os.fork()):
        monkeypatch.setattr(shutil, "rmtree", lambda path: os.kill(os.getpid(), signal.SIGKILL))
        remove_cache(begun)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert list_caches() == []
    assert len(os.listdir(root / "caches")) == 1
    remove_leftovers(None)
    assert os.listdir(root / "caches") == []


def test_behind_a_url_rows_stop_to_count_before_anything_else_goes(
    begun: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(monkeypatch):
        there = Folder("s3://bucket/root/caches/c")
        for name in begun.files():
            there.write(name, begun.read(name))
        removed: list[str] = []
        plain = Folder.remove

        def dying(self: Folder, *names: str) -> None:
            if len(removed) > 3:
                raise ConnectionError
            plain(self, *names)
            removed.extend(names)

        monkeypatch.setattr(Folder, "remove", dying)
        with pytest.raises(ConnectionError):
            remove_cache(there)
        monkeypatch.setattr(Folder, "remove", plain)
        there.remove(OWNER)  # its lease has ended
        plan = ShardPlan.from_manifest(there.read_json("manifest.json"))
        assert sum(map(len, shards_left(there, plan))) == sum(plan.rows.values())
        remove_cache(find_cache("c", "s3://bucket/root"))
        assert there.files() == []
        assert made_from("0" * 64, "s3://bucket/root") == []


def test_it_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"remove", "export"} <= {command.name for command in cli.featcache_app().registered_commands}
