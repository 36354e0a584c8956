"""The command lines as processes see them: what is printed where, exit statuses, what is imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import cli
from tests.conftest import ImageFolder
from tests.other_machines import customized
from tests.pictures import draw_class_folders
from tests.processes import imported, mistake, program, run

APPS = {"featcache": cli.featcache_app, "adapters": cli.adapters_app}
HEAVY = {"torch", "open_clip", "sklearn", "faiss", "scipy", "matplotlib"}
COMMANDS = [
    *(
        ("featcache", name)
        for name in (
            *("extract", "import", "list", "info", "verify", "text"),
            *("export", "remove", "datasets", "models"),
        )
    ),
    *(
        ("adapters", name)
        for name in (
            *("audit", "fit", "search", "bench", "eval", "compare", "report"),
            *("predict", "export", "push", "list", "runs", "remove"),
        )
    ),
]


@pytest.mark.parametrize("words", [("featcache", "--help"), ("adapters", "--help"), ("featcache", "extract", "--help")])
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    assert imported(words, {*HEAVY, "numpy", "zarr", "PIL"}) == set()
    assert "Usage" in run(*words).stdout


@pytest.mark.parametrize(
    "words",
    [
        ("featcache", "list"),
        ("featcache", "info", "photos-tiny"),
        ("featcache", "datasets"),
        ("featcache", "models"),
        ("featcache", "models", "ViT-B/16"),
        ("adapters", "list"),
        ("adapters", "runs"),
    ],
)
def test_what_only_looks_imports_nothing_heavy(photos: Path, words: tuple[str, ...]) -> None:
    assert imported(words, HEAVY) == set()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root with a cache, and a head."""
    home = tmp_path_factory.mktemp("photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEATCACHE_HOME", str(home))
        folder = draw_class_folders(home / "photos", classes=3, per_class=20, seed=0)
        run("featcache", "extract", "--model", "tiny", "--dataset", str(folder))
        for shots in ("1", "2"):
            run("adapters", "fit", "zero-shot", "--shots", shots)
        yield home


@pytest.mark.parametrize("words", [("featcache",), ("adapters",), ("adapters", "serve"), *COMMANDS])
def test_h_is_help(words: tuple[str, ...]) -> None:
    long, short = (CliRunner().invoke(APPS[words[0]](), [*words[1:], flag]) for flag in ("--help", "-h"))
    assert (short.exit_code, short.stdout) == (0, long.stdout)
    assert "Usage" in short.stdout


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[1] != "remove"])
def test_results_go_to_standard_output_alone(photos: Path, words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a photo of a {}.\n")
    image = next((photos / "photos" / "class_1").iterdir())
    features = tmp_path / "features.npz"
    rows = np.random.default_rng(0).normal(size=(18, 4))
    np.savez(features, embeddings=rows, labels=np.arange(18) % 3, text=rows[:3])
    known: dict[str | tuple[str, ...], list[str]] = {
        "extract": ["--model", "tiny", "--dataset", str(photos / "photos")],
        "import": [str(features), "--root", str(tmp_path / "other")],
        "info": ["photos-tiny"],
        "verify": ["photos-tiny", "--sample", "0"],
        "text": ["photos-tiny", "--templates", str(tmp_path / "prompts.txt"), "--no-default"],
        "fit": ["zero-shot", "--shots", "1"],
        "search": ["taskres", "--lr", "0.1,0.2", "--epochs", "1", "--shots", "2", "--seeds", "1"],
        "bench": ["--methods", "zero-shot", "--shots", "1", "--seeds", "1"],
        "eval": ["zero-shot-1shot-seed1"],
        "report": ["zero-shot-1shot-seed1", "--out", str(tmp_path / "report.html")],
        "predict": ["zero-shot-1shot-seed1", str(image)],
        "compare": ["zero-shot-1shot-seed1", "zero-shot-2shot-seed1"],
        ("featcache", "export"): ["photos-tiny", "--to", "npz", "--out", str(tmp_path / "photos.npz"), "--overwrite"],
        ("adapters", "export"): ["zero-shot-1shot-seed1", "--out", str(tmp_path / "head.onnx")],
        "push": ["zero-shot-1shot-seed1", "me/head", "--dry-run", "--out", str(tmp_path / "head")],
    }
    rest = known.get(words, known.get(words[1], []))
    done = run(*words, *rest)
    assert done.stdout.strip()
    assert not any(line in done.stderr for line in done.stdout.splitlines() if line)
    beside = ("Using the cache extracted last", "cells computed", " are in ", "keep one: ", "search: ")
    assert not any(notice in done.stdout for notice in beside)
    if words[1] in ("fit", "search", "bench"):
        assert "Using the cache extracted last: photos-tiny" in done.stderr
    done = CliRunner().invoke(APPS[words[0]](), [*words[1:], *rest, "--json"])
    assert isinstance(json.loads(done.stdout), dict), done.output


@pytest.mark.parametrize("program", ["featcache", "adapters"])
def test_version(program: str) -> None:
    assert run(program, "--version").stdout == f"featcache {version('featcache')}\n"


def test_from_images_to_predictions(root: Path, image_folder: ImageFolder, tmp_path: Path) -> None:
    folder = image_folder(classes=3, per_class=20)
    (folder / "class_0" / "broken.jpg").write_bytes(b"\xff\xd8\xff not a JPEG")
    failed = mistake("featcache", "extract", "--model", "tiny", "--dataset", str(folder))
    assert "class_0/broken.jpg" in failed
    assert "--on-error skip" in failed

    done = run("featcache", "extract", "--model", "tiny", "--dataset", str(folder), "--on-error", "skip", "--json")
    report = json.loads(done.stdout)
    keys = {"cache", "rows", "encoded", "resumed", "skipped", "seconds", "images_per_second"}
    assert keys <= report.keys()
    assert report["skipped"] == 1
    assert report["encoded"] + report["resumed"] + report["skipped"] == sum(report["rows"].values()) == 61

    again = run("featcache", "extract", "--model", "tiny", "--dataset", str(folder), "--on-error", "skip")
    assert "nothing to do" in again.stdout
    assert again.stderr == ""

    fitted = run("adapters", "fit", "tip", "--shots", "2", "--alpha", "3", "--json")
    assert "Using the cache extracted last: photos-tiny" in fitted.stderr
    head = json.loads(fitted.stdout)
    expected = "method dataset model shots seed select hyperparameters accuracy ece seconds parameters cache run"
    assert set(expected.split()) <= head.keys()
    assert head["hyperparameters"]["alpha"] == 3.0
    assert head["accuracy"].keys() == {"zero_shot", "val", "test"}
    assert head["seconds"].keys() == {"load", "fit", "evaluate"}
    assert 0.0 <= head["accuracy"]["test"] <= 1.0

    scored = json.loads(run("adapters", "eval", head["run"], "--json").stdout)
    assert scored["accuracy"] == head["accuracy"]["test"]

    table = tmp_path / "predictions.csv"
    done = run("adapters", "predict", head["run"], str(folder), "--top-k", "2", "--csv", str(table), "--json", status=1)
    predictions = json.loads(done.stdout)
    assert predictions["failed"] == 1
    assert len(predictions["items"]) == 61
    assert table.read_text().count("\n") == 62
    ranked = [(item["file"], item["classes"][0]["name"]) for item in predictions["items"] if item["classes"]]
    right = sum(Path(file).parent.name == name.replace(" ", "_") for file, name in ranked)
    assert right > 30, "three tints are easy to tell apart"

    assert [entry["name"] for entry in json.loads(run("featcache", "list", "--json").stdout)["caches"]] == [
        "photos-tiny"
    ]
    assert json.loads(run("adapters", "runs", "--json").stdout)["runs"][0]["run"] == head["run"]
    info = json.loads(run("featcache", "info", "photos-tiny", "--json").stdout)
    assert [entry["id"] for entry in info["unreadable"]] == ["class_0/broken.jpg"]
    assert json.loads(run("featcache", "verify", "photos-tiny", "--json").stdout)["ok"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("featcache", "extract", "--dataset", "digits"), "Missing option '--model'; type `featcache extract --help`"),
        (("featcache", "extract", "--model", "tiny", "--dataset", "eurosta"), "did you mean eurosat"),
        (("featcache", "extract", "--model", "ViT-B/61", "--dataset", "digits"), "did you mean ViT-B-16"),
        (("featcache", "info", "nothing"), "no cache 'nothing'"),
        (("featcache", "lst"), "No such command 'lst'"),
        (("featcache", "models", "ViT-B/16", "--pretrained", "openia"), "openai"),
        (("adapters", "fit", "clip", "--shots", "4"), "featcache extract --model tiny --dataset digits"),
        (("adapters", "fit", "clippy", "--shots", "4"), "did you mean 'clip'"),
        (("adapters", "fit", "clip", "--shots", "4", "--alhpa", "1"), "did you mean --alpha"),
        (("adapters", "fit", "clip", "--shot", "4"), "No such option: --shot (Possible options: --shots)"),
        (("adapters", "fit", "clip", "--shots", "4", "--alpha", "much"), "--alpha much: expected float"),
        (("adapters", "fit", "clip", "--shots", "4", "--alpha"), "without a value"),
        (("adapters", "eval", "nothing"), "no run nothing"),
        (("adapters", "predict", "nothing", "x.jpg"), "no such file or folder: x.jpg"),
        (("adapters", "search", "clip", "--alpha", "0:1"), "expected a range lo:hi:step"),
        (("adapters", "fit", "clip", "--shots", "4", "--shots", "8"), "error: --shots was given twice; expected once"),
        (("adapters", "search", "clip", "--lr", "1", "--lr=2"), "error: --lr was given twice; expected once"),
        (("adapters", "fit", "clip", "--shots", "4", "--wd", "0", "--weight-decay", "0"), "--weight-decay was given"),
        (("featcache", "models", "--json", "--json"), "--json was given twice"),
        (
            ("adapters", "fit", "clip", "--shots", "4", "--select", "vale"),
            "'vale' is not one of 'none', 'support', 'val",
        ),
        (("adapters", "bench", "--protocol", "few"), "'few' is not one of 'few-shot', 'base-to-new'"),
        (("adapters", "bench", "--format", "xml"), "'xml' is not one of 'table', 'markdown'"),
        (
            ("featcache", "extract", "--model", "tiny", "--dataset", "digits", "--engine", "remote"),
            "not one of 'local'",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_remedy(root: Path, words: tuple[str, ...], told: str) -> None:
    assert told in mistake(*words)


INTERRUPTED = """
import os, sys
class Interrupts:
    def find_spec(self, name, *how):
        if name == {module!r}:
            os.kill(os.getpid(), {sent})
sys.meta_path.insert(0, Interrupts())
"""


@pytest.mark.parametrize("module", ["typer", "featcache.commands", "rich", "featcache.errors", "zarr"])
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_while_it_imports_is_a_line(
    module: str, sent: signal.Signals, status: int, tmp_path: Path
) -> None:
    path = customized(tmp_path, INTERRUPTED.format(module=module, sent=int(sent)))
    words = [*program("featcache"), "featcache", "list", "--root", str(tmp_path)]
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "interrupted\n")
