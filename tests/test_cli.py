"""The command lines as processes see them: what is printed where, exit statuses, what is imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.conftest import ImageFolder


def run(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `featcache …` or `adapters …` in a process of its own."""
    entry = {"featcache": "run_featcache", "adapters": "run_adapters"}[words[0]]
    code = f"import sys, cli; sys.argv = sys.argv[1:]; cli.{entry}()"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert "leaked" not in done.stderr, done.stderr  # what triton says where the exit skips its objects
    return done


def mistake(*words: str) -> str:
    """The one line that a user's mistake ends in."""
    done = run(*words, status=2)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("words", [("featcache", "--help"), ("adapters", "--help"), ("featcache", "extract", "--help")])
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    code = (
        "import sys, cli\nsys.argv = sys.argv[1:]\n"
        f"try: cli.run_{words[0]}()\n"
        "except SystemExit as exit: status = exit.code\n"
        "heavy = {'torch', 'numpy', 'zarr', 'open_clip', 'sklearn', 'PIL'} & set(sys.modules)\n"
        "sys.exit(status or (str(heavy) if heavy else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


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
    assert "nothing to do" in again.stderr
    assert again.stdout == ""

    fitted = run("adapters", "fit", "tip", "--shots", "2", "--alpha", "3", "--json")
    assert "Using the cache finished last: photos-tiny" in fitted.stderr
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


def test_verify_ends_with_status_1_on_damage(root: Path, image_folder: ImageFolder) -> None:
    done = run("featcache", "extract", "--model", "tiny", "--dataset", str(image_folder()), "--json")
    shard = Path(json.loads(done.stdout)["cache"], "train/images/c/0/0")
    shard.write_bytes(shard.read_bytes()[:-9])
    done = run("featcache", "verify", "photos-tiny", status=1)
    assert "--repair" in done.stderr


def test_an_interrupted_run_says_that_it_continues(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder(per_class=400)
    words = ["featcache", "extract", "--model", "tiny", "--dataset", str(folder), "--workers", "0"]
    code = "import sys, cli; sys.argv = sys.argv[1:]; cli.run_featcache()"
    process = subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True)
    manifest = root / "caches/photos-tiny/manifest.json"
    while not manifest.exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told.count("Traceback")) == (130, 0), told
    assert "the same command continues" in told
    assert json.loads(run(*words, "--json").stdout)["encoded"] > 0


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
        (("adapters", "fit", "clip", "--shots", "4", "--alpha", "much"), "--alpha much: expected float"),
        (("adapters", "fit", "clip", "--shots", "4", "--alpha"), "without a value"),
        (("adapters", "predict", "nothing", "x.jpg"), "no run nothing"),
        (("adapters", "search", "clip", "--alpha", "0:1"), "expected a range lo:hi:step"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_remedy(root: Path, words: tuple[str, ...], told: str) -> None:
    assert told in mistake(*words)


def test_what_is_known_by_name(root: Path) -> None:
    model = json.loads(run("featcache", "models", "ViT-B/16", "--json").stdout)
    assert list(model) == ["architecture", "pretrained", "quick_gelu", "image_size", "dim", "tags"]
    assert (model["quick_gelu"], model["dim"], model["image_size"]) == (True, 512, 224)
    names = {card["name"] for card in json.loads(run("featcache", "datasets", "--json").stdout)["datasets"]}
    assert {"imagenet", "eurosat", "digits", "cifar10", "ucf101"} <= names
    methods = json.loads(run("adapters", "list", "--json").stdout)["methods"]
    assert list(methods[0]) == ["name", "class", "trains", "parameters", "needs", "source", "select"]
    options = json.loads(run("adapters", "list", "clip", "--json").stdout)["options"]
    assert all(option["meaning"] for option in options)


def test_search_from_grid_to_picture(root: Path, tmp_path: Path) -> None:
    run("featcache", "extract", "--model", "tiny", "--dataset", "digits", "--limit", "80")
    grid = ("--alpha", "0:1:0.5", "--lr", "1e-3,1e-2", "--epochs", "3", "--shots", "1,2", "--seeds", "1,2")
    done = run("adapters", "search", "taskres", *grid, "--plot", str(tmp_path / "alpha.png"), "--json")
    found = json.loads(done.stdout)
    assert "search: 24 trainings: 6 settings of 4 draws" in done.stderr
    assert found["grid"] == {"alpha": [0.0, 0.5, 1.0], "lr": [0.001, 0.01], "epochs": [3]}
    assert (found["select"], found["seeds"], found["shots"]) == ("support", [1, 2], [1, 2])
    assert [(best["shots"], best["seed"]) for best in found["best"]] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert all(Path(file).stat().st_size for file in found["files"].values())
    assert Path(found["out"]).parent == root / "search"

    best = found["best"][-1]
    options = [word for name, value in best["hyperparameters"].items() for word in (f"--{name}", str(value))]
    fitted = json.loads(run("adapters", "fit", "taskres", "--shots", "2", "--seed", "2", *options, "--json").stdout)
    assert fitted["accuracy"]["test"] == best["test"]["chosen"]

    table = run("adapters", "search", "tip", "--alpha", "0:10:0.5", "--shots", "2", "--select", "oracle").stderr
    assert "search tip · digits-tiny-limit80 · tiny (local) · select: ORACLE · seeds 1, 2, 3" in table
    assert "Every alpha from 0 to 10 was scored exactly" in table
    halved = mistake("adapters", "search", "tip", "--cache", "digits-tiny-limit80", "--alpha", "0:1:0.5", "--halving")
    assert "leave out --halving" in halved


def test_fit_imports_neither_open_clip_nor_torchvision(root: Path) -> None:
    run("featcache", "extract", "--model", "tiny", "--dataset", "digits", "--limit", "50")
    code = (
        "import sys, cli\nsys.argv = ['adapters', 'fit', 'clip', '--shots', '2']\n"
        "try: cli.run_adapters()\n"
        "except SystemExit as exit: status = exit.code\n"
        "heavy = {'open_clip', 'torchvision', 'faiss'} & set(sys.modules)\n"
        "sys.exit(status or (str(heavy) if heavy else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
