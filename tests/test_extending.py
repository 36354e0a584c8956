"""docs/extending.md: its patches are as small as it says, and what they add works on the command line."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import featcache
from tests.pictures import draw_class_folders
from tests.processes import program

CHECKOUT = Path(__file__).resolve().parent.parent
PATCHES = re.findall(r"^```diff\n(.*?)^```$", (CHECKOUT / "docs/extending.md").read_text("utf-8"), re.M | re.S)
TOUCHED = {
    "method": ["adapters/heads/class_mean.py", "adapters/methods.py"],
    "regime": ["adapters/selection/regimes.py"],
    "protocol": ["adapters/bench/protocols/half_classes.py", "adapters/bench/protocols/protocols.py"],
    "engine": [
        "featcache/extraction/engines/threads_engine.py",
        "featcache/extraction/engines/engines.py",
    ],
    "source": ["featcache/datasets/sources/list_file.py", "featcache/datasets/sources/sources.py"],
}
PRODUCT = ("adapters", "featcache", "cli.py", "data", "pyproject.toml")
LARGEST = 45
METHOD, REGIME, PROTOCOL, ENGINE = "class-mean", "val-half", "half-classes", "threads"


class Copy:
    """A copy of the product, and a root for what its command lines make."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder / "product", str(folder / "root")
        self.folder.mkdir()
        for name in PRODUCT:
            if (CHECKOUT / name).is_dir():
                shutil.copytree(CHECKOUT / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(CHECKOUT / name, self.folder / name)

    def run(self, *command: str) -> str:
        """What a process prints that imports the copy."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "COLUMNS": "300"}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def type(self, *words: str) -> str:
        """What `featcache …` or `adapters …` prints."""
        return self.run(*program(words[0]), *words)

    def json(self, *words: str) -> Any:
        """The object that a command gives about what it did under the root."""
        return json.loads(self.type(*words, "--root", self.root, "--json"))


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """All patches on one copy."""
    if not (git := shutil.which("git")):
        pytest.skip("git, which applies the patches, is not there")
    copy = Copy(tmp_path_factory.mktemp("extending"))
    # Where the copy lies inside a repository, git would take paths to be that repository's.
    outside = {**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.folder.parent)}
    for patch in PATCHES:
        done = subprocess.run([git, "apply", "-"], cwd=copy.folder, env=outside, input=patch, text=True)
        assert done.returncode == 0
    where = copy.run(sys.executable, "-c", "import adapters, cli, featcache; print(adapters, cli, featcache)")
    assert where.count(str(copy.folder)) == 3
    return copy


@pytest.fixture(scope="module")
def extracted(patched: Copy) -> dict[str, Any]:
    """What the toy engine says of the cache that it made."""
    of_digits = ("--model", "tiny", "--dataset", "digits", "--limit", "60", "--workers", "0", "--device", "cpu")
    found: dict[str, Any] = patched.json("featcache", "extract", *of_digits, "--engine", ENGINE)
    return found


def test_each_patch_is_small_and_touches_the_files_that_the_page_names() -> None:
    assert len(PATCHES) == len(TOUCHED)
    for patch, files in zip(PATCHES, TOUCHED.values(), strict=True):
        assert len(patch.splitlines()) <= LARGEST
        assert re.findall(r"^\+\+\+ b/(\S+)", patch, re.M) == files


@pytest.mark.skipif(importlib.util.find_spec("ruff") is None, reason="ruff is not installed")
def test_patched_code_is_in_the_style_of_the_house(patched: Copy) -> None:
    patched.run(sys.executable, "-m", "ruff", "check", "--no-cache", ".")
    patched.run(sys.executable, "-m", "ruff", "format", "--no-cache", "--check", ".")


def test_the_new_names_are_in_the_help(patched: Copy) -> None:
    assert ENGINE in choices(patched.type("featcache", "extract", "--help"), "engine")
    for command in ("fit", "bench", "search"):
        shown = patched.type("adapters", command, "--help")
        assert REGIME in choices(shown, "select")
        assert f"{REGIME}: every second image of the validation split" in shown
    assert PROTOCOL in choices(patched.type("adapters", "bench", "--help"), "protocol")


def choices(help: str, option: str) -> list[str]:
    """The names that the help of an option offers."""
    found = re.search(rf"--{option} +<(.*?)>", help)
    assert found, help
    return found.group(1).split("|")


def test_the_method_and_its_range_are_listed(patched: Copy) -> None:
    line = next(line for line in patched.type("adapters", "list").splitlines() if line.startswith(METHOD))
    assert re.split(r" {2,}", line.strip()) == [METHOD, "nothing", "0", "text", "none", "a toy"]
    line = patched.type("adapters", "list", METHOD).splitlines()[-1]
    assert line.split(maxsplit=3) == ["--alpha", "float", "0.5", "from 0 to 1  share of the mean; 0 is zero-shot."]


def test_the_engine_gives_the_cache_that_the_local_one_gives(
    patched: Copy, extracted: dict[str, Any], tmp_path: Path
) -> None:
    assert extracted["rows"] == {"train": 60, "val": 60, "test": 60}
    assert extracted["encoded"] == 180
    assert set(extracted["encoded_by"]) == {"one", "two"}
    toy = featcache.open(extracted["cache"])
    asked = {"limit": 60, "workers": 0, "device": "cpu", "progress": False}
    local = featcache.extract("tiny", "digits", root=str(tmp_path), **asked)
    assert local.digest == toy.digest
    for split in local.splits:
        assert local[split].images.tobytes() == toy[split].images.tobytes()


def test_the_source_opens_what_it_recognises(patched: Copy, tmp_path: Path) -> None:
    draw_class_folders(tmp_path, classes=2, per_class=5)
    lines = [f"{path.relative_to(tmp_path)} {path.parent.name}\n" for path in sorted(tmp_path.rglob("*.png"))]
    (tmp_path / "list.txt").write_text("".join(lines))
    root = ("--root", str(tmp_path / "root"), "--json")
    how = ("--model", "tiny", "--workers", "0", "--device", "cpu")
    made = json.loads(patched.type("featcache", "extract", *how, "--dataset", str(tmp_path / "list.txt"), *root))
    assert made["rows"] == {"train": 4, "val": 2, "test": 4}
    assert "a .txt with a line path label" in patched.type("featcache", "extract", "--help")
    assert "a .txt, a .csv, " in patched.type("featcache", "datasets")


def test_the_method_is_fitted_saved_and_scored(patched: Copy, extracted: dict[str, Any]) -> None:
    report = patched.json("adapters", "fit", METHOD, "--shots", "2", "--select", REGIME, "--alpha", "0")
    assert (report["cache_digest"], report["method"], report["select"]) == (extracted["digest"], METHOD, REGIME)
    assert report["accuracy"]["test"] == report["accuracy"]["zero_shot"]
    report = patched.json("adapters", "fit", METHOD, "--shots", "2")
    assert report["hyperparameters"]["alpha"] == 0.5
    assert report["accuracy"]["test"] > report["accuracy"]["zero_shot"]
    assert patched.json("adapters", "eval", report["run"])["reproduced"]


@pytest.mark.usefixtures("extracted")
def test_the_regime_chooses_on_its_rows(patched: Copy) -> None:
    report = patched.json("adapters", "fit", "tip", "--shots", "2", "--select", REGIME)
    assert report["rows"]["val"] == 60
    assert report["alpha_interval"]["rows"] == 30
    assert report["note"] == "accuracy.val includes the images that chose the hyper-parameters"


@pytest.mark.usefixtures("extracted")
def test_the_protocol_is_benched_under_the_regime(patched: Copy) -> None:
    asked = ("--methods", METHOD, "--protocol", PROTOCOL, "--select", REGIME, "--shots", "2", "--seeds", "1")
    found = patched.json("adapters", "bench", *asked)
    assert (found["protocol"], found["select"], found["failures"]) == (PROTOCOL, REGIME, [])
    rows = {row["method"]: row for row in found["rows"]}
    assert set(rows) == {"zero-shot", METHOD}
    assert (rows[METHOD]["part"], rows[METHOD]["classes"], rows[METHOD]["rows"]) == ("half", 5, 30)
    assert "Hyper-parameters were chosen on every second image of the validation split." in found["notes"]
