from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adapters
from adapters import ClipAdapter, Head, LinearProbe, TipAdapter, TipAdapterF, ZeroShot
from adapters.errors import AdapterError, RunError
from featcache.records import sealed, unsealed

RNG = np.random.default_rng(0)
X, Y, TEXT = RNG.standard_normal((12, 16)), np.arange(12) % 3, RNG.standard_normal((3, 16))
HEADS: list[Head] = [
    ZeroShot(logit_scale=20.0),
    LinearProbe(C=2.0),
    ClipAdapter(alpha=0.5, epochs=3),
    ClipAdapter(text_alpha=0.5, epochs=3, seed=7),
    TipAdapter(alpha=np.float64(2.0), neighbours=3),
    TipAdapterF(train_beta=1.0),
]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return TipAdapter().fit(X, Y, text=TEXT).save(tmp_path / "run", cache={"name": "eurosat", "digest": "abc"})


@pytest.mark.parametrize("head", HEADS, ids=[type(h).__name__ for h in HEADS])
@pytest.mark.parametrize("labels", [Y, np.array(list("abc"))[Y]], ids=["numbers", "names"])
def test_a_loaded_head_is_the_saved_one(head: Head, labels: np.ndarray, tmp_path: Path) -> None:
    head.fit(X, labels, text=TEXT if labels is Y else None)
    folder = head.save(tmp_path / "a" / "b", class_names=list("abc"), metrics={"test": np.float32(0.5)})
    loaded = adapters.load(folder)
    assert type(loaded) is type(head)
    assert loaded.get_params() == head.get_params()
    assert loaded.parameters_ == head.parameters_
    assert loaded.config["class_names"] == ["a", "b", "c"]
    assert loaded.config["metrics"] == {"test": 0.5}
    np.testing.assert_array_equal(loaded.decision_function(X), head.decision_function(X))
    np.testing.assert_array_equal(loaded.predict(X), head.predict(X))
    assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors"]


def test_saving_again_replaces_and_leaves_other_files(saved: Path) -> None:
    (saved / "README.md").write_text("a card")
    ZeroShot().fit(X, Y, text=TEXT).save(saved)
    assert isinstance(adapters.load(saved), ZeroShot)
    assert sorted(os.listdir(saved)) == ["README.md", "config.json", "model.safetensors"]


def test_device_can_be_replaced(saved: Path) -> None:
    assert adapters.load(saved, device="cpu").get_params()["device"] == "cpu"


def _edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(sealed({**unsealed(json.loads(path.read_text())), **changes})))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "config.json").unlink(), "config.json is missing"),
        (lambda f: (f / "model.safetensors").unlink(), "cannot read"),
        (lambda f: _truncate(f / "config.json"), "not JSON"),
        (lambda f: _truncate(f / "model.safetensors"), "does not belong"),
        (lambda f: (f / "config.json").write_text("{}"), "not the config of a saved head"),
        (lambda f: _edit(f, format_version=2), "format version 2; this featcache reads 1"),
        (lambda f: _edit(f, method="tipp"), "method 'tipp'"),
        (lambda f: _edit(f, params={"gamma": 1}), "does not take its saved parameters"),
    ],
)
def test_damage_is_told_in_one_line(saved: Path, damage: Any, says: str) -> None:
    damage(saved)
    with pytest.raises(RunError, match=says) as caught:
        adapters.load(saved)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no saved head in"):
        adapters.load(tmp_path / "nowhere")


def test_what_is_not_json_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    head = ZeroShot().fit(X, Y, text=TEXT)
    for extra in ({"thing": object()}, {"method": "mine"}, {"accuracy": float("nan")}):
        with pytest.raises(AdapterError, match="cannot save|writes method itself"):
            head.save(tmp_path / "run", **extra)
    assert not (tmp_path / "run").exists()


def test_a_failed_write_leaves_the_old_head(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = adapters.load(saved).decision_function(X)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left"):
        ZeroShot().fit(X, Y, text=TEXT).save(saved)
    np.testing.assert_array_equal(adapters.load(saved).decision_function(X), before)
    assert sorted(os.listdir(saved)) == ["config.json", "model.safetensors"]
