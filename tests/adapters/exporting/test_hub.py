"""A run on the Hugging Face hub: what is sent, that it comes back whole, and what is said where it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from huggingface_hub import constants

import adapters
from adapters.errors import AdapterError, RunError
from adapters.exporting.hub import push, write_repository
from adapters.fitting.fit import fit
from adapters.runs.catalogue import find_run
from adapters.runs.folder import RUN_FILES
from featcache.errors import DataError
from featcache.records import parse_json, sealed, unsealed
from tests.hub_server import TOKEN, hub_of

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the hub's client, by httpx


class Loopback(NamedTuple):
    models: dict[str, Path]
    asked: list[str]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    models: dict[str, Path] = {}
    (tmp_path / "served").mkdir()
    with hub_of({}, models, tmp_path / "served") as (url, asked):
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield Loopback(models, asked)


@pytest.fixture
def run(make_cache: Callable[..., Any], tmp_path: Path) -> Path:
    cache = make_cache()
    cache.encoder["architecture"] = "/home/someone/models/secret"
    fit("tip", cache=cache, shots=2, select="none", out=tmp_path / "run", coverage=0.8)
    return tmp_path / "run"


def test_what_is_pushed_comes_back_the_same(hub: Loopback, run: Path) -> None:
    pushed = push(run, "me/four-things")
    assert pushed.page == f"{constants.ENDPOINT}/me/four-things"
    assert pushed.load == "hf://me/four-things"
    assert {file.name for file in hub.models["me/four-things"].iterdir()} == RUN_FILES == set(pushed.files)
    rows = np.random.default_rng(0).normal(size=(20, 16))
    here, there = adapters.load(run), adapters.load(pushed.load)
    np.testing.assert_array_equal(there.decision_function(rows), here.decision_function(rows))
    found = find_run("hf://me/four-things@main")
    assert found.name == "four-things"
    assert found.require_report().accuracy == find_run(run).require_report().accuracy
    assert (found.path / "answers.safetensors").exists()


def test_nothing_says_where_things_lie_on_this_machine(run: Path, tmp_path: Path) -> None:
    added = {"added": {"run": "before", "classes": {"/m/0dzct": ["/home/someone/photos/1.jpg"]}}}
    metrics = unsealed(parse_json((run / "metrics.json").read_bytes())) | added
    (run / "metrics.json").write_text(json.dumps(sealed(metrics)))
    written = write_repository(run, "me/four-things", out=tmp_path / "folder")
    assert (written.page, written.folder) == (None, str(tmp_path / "folder"))
    for file in (tmp_path / "folder").iterdir():
        assert b"/home/someone" not in file.read_bytes()
        assert str(tmp_path).encode() not in file.read_bytes()
        assert b"/caches/" not in file.read_bytes()
    card = (tmp_path / "folder/README.md").read_text()
    for told in (
        'adapters.load("hf://me/four-things")',
        "## Scores",
        "`none`",
        "annual crop",
        "secret",
        "pipeline_tag",
    ):
        assert told in card
    assert json.loads((tmp_path / "folder/config.json").read_text())["encoder"]["architecture"] == "secret"
    sent = json.loads((tmp_path / "folder/metrics.json").read_text())
    assert sent["added"]["classes"] == {"/m/0dzct": ["1.jpg"]}
    adapters.load(tmp_path / "folder")
    write_repository(run, "me/four-things", out=tmp_path / "folder")
    (tmp_path / "folder/photo.jpg").touch()
    with pytest.raises(RunError, match="which is not of a run"):
        write_repository(run, "me/four-things", out=tmp_path / "folder")


def test_what_is_damaged_is_neither_sent_nor_loaded(hub: Loopback, run: Path) -> None:
    pushed = push(run, "me/four-things")
    weights = hub.models["me/four-things"] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(RunError, match="does not belong to its config.json"):
        adapters.load(pushed.load)
    (run / "model.safetensors").write_bytes(b"")
    with pytest.raises(RunError, match="does not belong to its config.json"):
        push(run, "me/other")
    assert "me/other" not in hub.models


def test_only_the_files_of_a_run_are_fetched(hub: Loopback, run: Path) -> None:
    pushed = push(run, "me/four-things")
    (hub.models["me/four-things"] / "modeling.py").write_text("raise SystemExit")
    adapters.load(pushed.load)
    assert not [path for path in hub.asked if "modeling.py" in path]


def test_private_is_private(hub: Loopback, run: Path) -> None:
    push(run, "me/mine", private=True)
    push(run, "me/mine", private=True)
    push(run, "me/open")
    with pytest.raises(DataError, match="me/open is there and open to all: make it private on its page"):
        push(run, "me/open", private=True)


def test_errors(hub: Loopback, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="'four-things' is no repository of the hub: expected owner/name"):
        push(run, "four-things")
    with pytest.raises(DataError, match="no head me/none on the hub: mend the name"):
        adapters.load("hf://me/none")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(
        DataError, match="the hub does not let you write to me/x: `hf auth login`, or set HF_TOKEN"
    ) as e:
        push(run, "me/x")
    assert "hf_wrong" not in str(e.value)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="me/x cannot be written on the hub: ") as e:
        push(run, "me/x")
    assert "\n" not in str(e.value)


def test_out_without_a_dry_run_is_a_mistake() -> None:
    from adapters.commands.saved.push import push as command

    with pytest.raises(AdapterError, match="--out says where --dry-run writes"):
        command("run", "me/x", out=Path("folder"))
