"""Removing saved runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

import cli
from adapters.commands.saved.remove import remove
from adapters.errors import RunError
from adapters.runs.catalogue import list_runs
from adapters.runs.folder import EVERY_RUN_FILES, METRICS
from adapters.runs.removing import remove_run
from featcache.places.folder import Folder
from featcache.places.home import runs_folder
from featcache.places.turns import held
from tests.buckets import serving


def a_run(runs: Path, name: str = "clip-4shot-seed1-12345678") -> Path:
    """A folder of a run whose report is damaged: it can be removed all the same."""
    folder = runs / "photos/tiny" / name
    folder.mkdir(parents=True)
    for file in EVERY_RUN_FILES:
        (folder / file).write_text("{}")
    return folder


def test_it_asks_unless_told_otherwise(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, other = a_run(root / "runs"), a_run(root / "runs", "other")
    with pytest.raises(
        RunError, match=r"Remove the run .*clip-4shot-seed1-12345678\? Nobody can be asked here: type --yes"
    ):
        remove("clip-4shot")
    remove("clip-4shot", yes=True, json=True)
    assert json.loads(capsys.readouterr().out) == {"removed": str(run)}
    assert [found.path for found in list_runs()] == [other]
    with pytest.raises(RunError, match="no run clip-4shot"):
        remove("clip-4shot", yes=True)


def test_what_is_no_run_stays(root: Path, tmp_path: Path) -> None:
    run = a_run(root / "runs")
    (run / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"holds 'notes.txt', which is not of a run"):
        remove_run(run, None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="so it is no run"):
        remove_run(tmp_path / "empty", None)
    assert (run / METRICS).is_file()


def test_it_waits_for_nobody_who_saves(root: Path) -> None:
    run = a_run(root / "runs")
    with held(run.parent), pytest.raises(RunError, match="another process is saving a run"):
        remove_run(run, None)
    assert (run / METRICS).is_file()


def test_a_kill_while_it_is_deleted_leaves_no_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(root / "runs")
    if not (pid := os.fork()):
        monkeypatch.setattr(shutil, "rmtree", lambda *given, **more: os.kill(os.getpid(), signal.SIGKILL))
        remove_run(run, None)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert list_runs() == []


def test_behind_a_url_it_goes_there_and_here(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch):
        url = "s3://bucket/root"
        run = a_run(runs_folder(url))
        assert [found.path for found in list_runs(url)] == [run]  # which pushes it
        there = Folder(url)
        assert len(there.files()) == len(EVERY_RUN_FILES)
        remove(f"{url}/runs/photos/tiny/{run.name}", yes=True)
        assert there.files() == []
        assert list_runs(url) == []
        assert not any(run.parent.iterdir())


def test_it_is_a_command() -> None:
    assert "remove" in {command.name for command in cli.adapters_app().registered_commands}
