"""What is in the wheel, and that code installed from it finds its data."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from featcache.assets import data_dir

CHECKOUT = Path(__file__).resolve().parent.parent
ASK = """
import featcache.assets, featcache.datasets.cards, featcache.encoders.models
print(featcache.assets.data_dir())
print(len(featcache.datasets.cards.list_cards()), featcache.encoders.models.describe("tiny").dim)
import cli, adapters
from adapters.html.cards import cards_page
from adapters.html.pictures import Pictures
assert "A page" in cards_page("A page", [], Pictures(None))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(CHECKOUT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


def test_all_data_and_typing_marks_are_in_the_wheel(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    for file in (CHECKOUT / "data").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            assert f"featcache/data/{file.relative_to(CHECKOUT / 'data').as_posix()}" in packed
    assert {"cli.py", "featcache/py.typed", "adapters/py.typed"} <= packed
    assert not [name for name in packed if name.startswith(("data/", "tests/")) or "__pycache__" in name]
    assert wheel.stat().st_size < 8 * 2**20


def test_code_installed_from_the_wheel_finds_its_data(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    # An installed copy goes before the checkout that this environment has installed in editable mode.
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run([sys.executable, "-c", ASK], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines() == [str(tmp_path / "site/featcache/data"), "14 128"], done.stderr


def test_a_checkout_finds_its_data() -> None:
    assert data_dir() == CHECKOUT / "data"
    assert (data_dir() / "tiny" / "open_clip_config.json").is_file()


def test_the_source_distribution_holds_what_its_tests_need(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(CHECKOUT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("adapters", "benchmarks", "data", "docs", "featcache", "tests"):
        files = [file.relative_to(CHECKOUT).as_posix() for file in (CHECKOUT / folder).rglob("*") if file.is_file()]
        assert {file for file in files if "__pycache__" not in file} <= packed
    assert {"CONTRIBUTING.md", "Makefile", "README.md", "cli.py", "pyproject.toml"} <= packed
