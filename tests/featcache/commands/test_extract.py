from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import featcache
from featcache.cache.writing import CacheStore
from featcache.commands.extract import extraction_page
from featcache.extraction.extract import ExtractionReport
from tests.conftest import ImageFolder
from tests.pages import assert_all_is_told, texts
from tests.processes import program, run


def test_an_interrupted_run_says_that_it_continues(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder(per_class=400)
    words = ["featcache", "extract", "--model", "tiny", "--dataset", str(folder), "--workers", "0"]
    process = subprocess.Popen([*program("featcache"), *words], stderr=subprocess.PIPE, text=True)
    manifest = root / "caches/photos-tiny/manifest.json"
    while not manifest.exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told.count("Traceback")) == (130, 0), told
    assert "the same command continues" in told
    assert json.loads(run(*words, "--json").stdout)["encoded"] > 0


def cache(**changes: Any) -> Any:
    train = SimpleNamespace(labels=np.repeat(np.arange(6), 3), labelled=np.ones(18, bool))
    content = {
        "name": "a-data-set-with-a-long-name-ViT-H-14-378-quickgelu-dfn5b",
        "path": "/scratch/" + "project-" * 9 + "/caches/a",
        "rows": {"train": 18, "test": 7},
        "completion": {"unreadable": {"train": 0, "test": 2}},
        "unlabelled": {},
        "splits": {"train": train, "test": train},
        "class_names": ["Highway or Road", *(f"class number {i}" for i in range(5))],
        "encoder": {"architecture": "ViT-H-14-378-quickgelu", "pretrained": "dfn5b"},
        "prompt_sets": ("coop",),
        "text": SimpleNamespace(
            name="coop", prompts=[[" ".join(["a centered satellite photo of Highway or Road."] * 3)]] * 6
        ),
        **changes,
    }
    content["manifest"] = {
        "identity": {"dataset": {"class_names": content["class_names"]}},
        "plan": {},
        "provenance": {
            "split": {"from": "seeded stratified", "fractions": {"train": 0.5, "val": 0.2, "test": 0.3}, "seed": 0},
            "left_out": {"in no class folder": 1234},
        },
    }
    found = type("Cache", (SimpleNamespace,), {"__getitem__": lambda self, split: self.splits[split]})
    return found(**content)


def test_all_is_told_at_any_width() -> None:
    fast = cache()
    fast.manifest["cosine_to_exact"] = {"mean": 0.99871, "least": 0.99, "images": 18}
    report = ExtractionReport(
        fast,
        encoded=12,
        resumed=6,
        skipped=2,
        seconds=3.0,
        encoding_seconds=2.0,
        waited={},
        encoded_by={"a": 5, "b": 7},
    )
    page = extraction_page(report, "/home/somebody/featcache")
    assert_all_is_told(page)
    assert {"12 images in 2.0 s (6 images/s)", "a: 5, b: 7", "6 images", "train 18, test 7 (empty: test 2)"} <= set(
        texts(page)
    )
    assert "1,234 images in no class folder" in texts(page)
    assert "cosine to exact decoding 0.99871 on average, 0.99000 at least, over 18 images" in texts(page)
    assert any(text.startswith("adapters fit --shots 3 --cache a-data") for text in texts(page))
    assert any(text.endswith(" --root /home/somebody/featcache") for text in texts(page))


def test_nothing_to_do_and_random_weights_are_told() -> None:
    random = cache(encoder={"architecture": "tiny", "pretrained": "random"}, splits={})
    told = set(texts(extraction_page(ExtractionReport(random, 0, 25, 0, 0.1, 0.0, {}, {}), None)))
    assert {"nothing to do", "all 25 images were encoded before (0.10 s to check)", "random weights"} <= told
    assert "next" not in told


def test_what_other_caches_gave_is_told() -> None:
    grown = cache(splits={})
    grown.manifest["provenance"]["split"]["kept"] = {"images": 24, "caches": [{"name": "a", "digest": "0"}]}
    report = ExtractionReport(grown, 1, 0, 0, 0.1, 0.1, {}, {}, reused=24, instead_of="a")
    told = set(texts(extraction_page(report, "/root with spaces")))
    assert "24 images that other caches have, bit for bit" in told
    assert any("`featcache remove a --root '/root with spaces'` removes it" in text for text in told)
    assert any(text.endswith("seed 0; 24 images stay where a had them") for text in told)
    all_of_them = ExtractionReport(grown, 0, 0, 0, 0.1, 0.1, {}, {}, reused=25)
    assert not any("nothing to do" in text for text in texts(extraction_page(all_of_them, None)))


def test_the_engine_that_was_asked_for_runs(root: Path, image_folder: ImageFolder, monkeypatch: Any) -> None:
    from typer.testing import CliRunner

    import cli
    from featcache.extraction import request

    asked = []
    check = request.Request.__post_init__
    monkeypatch.setattr(request.Request, "__post_init__", lambda self: (asked.append(self.engine), check(self))[1])
    words = [
        "extract",
        "--model",
        "tiny",
        "--dataset",
        str(image_folder(per_class=4)),
        "--engine",
        "local",
    ]
    done = CliRunner().invoke(cli.featcache_app(), [*words, "--json"])
    assert (done.exit_code, set(asked)) == (0, {"local"})
    assert featcache.latest().name == json.loads(done.stdout)["name"]


def test_a_plan_is_told_and_nothing_is_started(root: Path, image_folder: ImageFolder) -> None:
    folder = str(image_folder(per_class=20))
    words = [
        "featcache",
        "extract",
        "--model",
        "tiny",
        "--dataset",
        folder,
        "--batch-size",
        "4",
        "--workers",
        "0",
        "--device",
        "cpu",
    ]
    before = json.loads(run(*words, "--plan", "--json").stdout)
    assert (before["shards"], before["finished"], before["rows_left"]) == (None, False, 60)
    assert not (root / "caches").exists()
    run(*words, "--json")
    done = json.loads(run(*words, "--plan", "--json").stdout)
    assert (done["finished"], done["rows_left"], done["left"]) == (True, 0, 0)
    cache = featcache.open("photos-tiny")
    store = CacheStore(cache.folder, cache.manifest)
    shard = next(store.plan.shards("test"))
    store.forget(shard)
    left = json.loads(run(*words, "--plan", "--json").stdout)
    assert (left["finished"], left["left"], left["rows_left"]) == (False, 1, len(shard))
    assert left["done"] + left["left"] == left["shards"]
    assert left["seconds_left"] == pytest.approx(len(shard) / left["images_per_second"], abs=0.06)
    told = run(*words, "--plan").stdout
    assert "1 left" in told
    assert "images/s measured" in told
    assert store.pending("test") == [shard]
    run(*words, "--plan", "--views", "2", "--name", "photos-tiny", status=2)
