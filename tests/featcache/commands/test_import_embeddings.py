from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from featcache.commands.import_embeddings import import_page
from featcache.commands.info import cache_json, cache_page
from tests.featcache.importing.conftest import bring
from tests.pages import assert_all_is_told, texts
from tests.processes import run

KEYS = {
    "cache",
    "name",
    "digest",
    "rows",
    "written",
    "found",
    "skipped",
    "normalised",
    "encoder",
    "not_known",
    "told",
    "seconds",
}


@pytest.fixture
def source(root: Path, tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "mine.npz"
    np.savez(path, feats=rng.normal(size=(30, 4)), y=np.arange(30) % 3, text=rng.normal(size=(3, 4)))
    return path


def test_import_prints_one_object_and_what_it_guessed(source: Path) -> None:
    done = run("featcache", "import", str(source), "--name", "mine", "--array", "labels=y", "--json")
    told = json.loads(done.stdout)
    assert set(told) == KEYS
    assert (told["name"], told["rows"], told["encoder"]) == ("mine", {"train": 15, "val": 6, "test": 9}, "unknown")
    assert told["told"][0] == "embeddings: feats"
    listed = json.loads(run("featcache", "list", "--json").stdout)["caches"][0]
    assert listed["caveat"].startswith(f"embeddings imported from {source.name}")


@pytest.mark.parametrize("array", ["labels", "labels=", "=y"])
def test_what_is_no_pair_is_refused_in_a_line(array: str, source: Path) -> None:
    done = run("featcache", "import", str(source), "--array", array, status=2)
    assert len(done.stderr.splitlines()) == 1
    assert "--array" in done.stderr


def test_pages_tell_what_is_not_known(source: Path) -> None:
    report = bring(source)
    page = import_page(report, None)
    assert_all_is_told(page)
    assert "encoder, transform, precision, prompts: told beside every result" in texts(page)
    assert {"guessed", "embeddings: feats"} <= set(texts(page))
    info = cache_page(cache_json(report.cache.folder))
    assert {"unknown (imported)", "3, whose words are not known (default)"} <= set(texts(info))
