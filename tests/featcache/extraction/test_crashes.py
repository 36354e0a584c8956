"""Promises 1 and 5: killed at any moment and continued, a cache has the same bits as after an undisturbed run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featcache
from featcache.places.folder import Folder, array_in
from tests.pictures import draw_class_folders

RUNNER = Path(__file__).with_name("crash_runner.py")
ARRAYS = ("ids", "labels", "images", "views", "state")


def run(tmp_path: Path, name: str, folder: Path, **plan: Any) -> dict[str, Any]:
    request = {
        "model": "tiny",
        "dataset": str(folder),
        "root": str(tmp_path / name),
        "name": "c",
        "views": 1,
        "batch_size": 4,
        "workers": 0,
        "on_error": "skip",
    }
    instructions, result = tmp_path / f"{name}.json", tmp_path / f"{name}-result.json"
    instructions.write_text(json.dumps({"request": request, "seed": 0, "full_disk": False, **plan}))
    done = subprocess.run(
        [sys.executable, str(RUNNER), str(instructions), str(result)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(result.read_text())
    return content | {"stderr": done.stderr}


def content_of(tmp_path: Path, name: str) -> dict[str, bytes]:
    cache = featcache.open("c", tmp_path / name)
    group = cache.folder.group("r")
    found = {
        f"{split}/{array}": np.asarray(array_in(group, split, array)[:]).tobytes()
        for split in cache.splits
        for array in ARRAYS
        if f"{split}/{array}" in group
    }
    assert "train/views" in found
    return found | {"text": cache.text.features.tobytes(), "bad": json.dumps(_bad(cache.folder)).encode()}


def _bad(folder: Folder) -> list[Any]:
    return [folder.read_json(f"bad/{name}") for name in folder.names("bad")]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, bytes]]:
    """A folder of images, one of them broken, and an undisturbed run on it: the folder, its report, its content."""
    folder, home = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("home")
    draw_class_folders(folder, classes=3, per_class=16)
    (folder / "class_1" / "broken.png").write_bytes(b"not an image")
    report = run(home, "calm", folder)
    return folder, report, content_of(home, "calm")


def test_killed_at_random_moments(tmp_path: Path, calm: tuple[Path, dict[str, Any], dict[str, bytes]]) -> None:
    folder, _, content = calm
    disturbed = run(tmp_path, "killed", folder, moments=5)
    assert [line.split(": ")[1] for line in disturbed["happened"]] == ["status -9"] * 5
    assert content_of(tmp_path, "killed") == content
    assert disturbed["encoded"] + disturbed["resumed"] == 48


def test_killed_before_every_kind_of_write(tmp_path: Path, calm: tuple[Path, dict[str, Any], dict[str, bytes]]) -> None:
    """Right before a file becomes visible: manifest, array, text, list of bad images, images, views, state."""
    folder, _, content = calm
    disturbed = run(tmp_path, "killed", folder, writes=[1, 2, 5, 21, 29, 7, 6, 3])
    assert [line.split(": ")[1] for line in disturbed["happened"]] == ["status -9"] * 8
    assert content_of(tmp_path, "killed") == content
    assert disturbed["resumed"] > 0, "no kill left a finished shard behind: nothing was continued"


def test_a_full_disk(tmp_path: Path, calm: tuple[Path, dict[str, Any], dict[str, bytes]]) -> None:
    folder, _, content = calm
    disturbed = run(tmp_path, "full", folder, writes=[4, 29, 9], full_disk=True)
    assert [line.split(": ")[1] for line in disturbed["happened"]] == ["status 2"] * 3
    assert disturbed["stderr"].count("is full; free some space and type the same command again") == 3
    assert content_of(tmp_path, "full") == content
