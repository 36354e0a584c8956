from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featcache
from adapters.errors import RunError, TaskError
from adapters.fitting.fit import fit
from adapters.runs.evaluate import confusion_matrix, evaluate, per_class, top_confusions

Make = Callable[..., Any]
NAMES = ("crop", "forest", "river")
LOGITS = np.eye(3, dtype=np.float32)[[0, 1, 1, 1, 2, 0, 0]]
LABELS = np.array([0, 0, 0, 1, 1, 1, 1])


def test_confusions_count_images_by_class_and_answer() -> None:
    counts = confusion_matrix(LOGITS, LABELS, 3)
    assert counts.tolist() == [[1, 2, 0], [2, 1, 1], [0, 0, 0]]
    assert per_class(counts, NAMES) == [
        {"class": "crop", "images": 3, "accuracy": 1 / 3},
        {"class": "forest", "images": 4, "accuracy": 1 / 4},
        {"class": "river", "images": 0, "accuracy": None},
    ]
    assert top_confusions(counts, NAMES) == [
        {"class": "crop", "predicted": "forest", "images": 2, "share": 2 / 3},
        {"class": "forest", "predicted": "crop", "images": 2, "share": 2 / 4},
        {"class": "forest", "predicted": "river", "images": 1, "share": 1 / 4},
    ]
    assert len(top_confusions(counts, NAMES, limit=1)) == 1


@pytest.mark.parametrize("method", ["zero-shot", "clip", "tip"])
@pytest.mark.parametrize("split", ["test", "val"])
def test_a_saved_run_scores_again_what_it_scored(make_cache: Make, tmp_path: Path, method: str, split: str) -> None:
    cache = make_cache()
    report = fit(method, cache=cache, shots=2, root=str(tmp_path))
    again = evaluate(Path(report.run).name, cache=cache, split=split, root=str(tmp_path))
    assert again.accuracy == report.accuracy[split] == again.stored["accuracy"]
    assert again.reproduced is True
    assert again.stored["ece"] == report.ece.get(split)
    assert again.images == 48 == sum(item["images"] for item in again.per_class)
    right = sum(item["images"] * item["accuracy"] for item in again.per_class)
    assert right / again.images == pytest.approx(again.accuracy)
    content = again.to_json()
    assert json.loads(json.dumps(content)) == content


def test_what_fit_did_not_score_has_nothing_to_reproduce(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    report = fit("tip", cache=cache, shots=2, root=str(tmp_path))
    again = evaluate(report.run, cache=cache, split="train")
    assert again.reproduced is None
    assert again.stored == {"accuracy": None, "ece": None}


def test_a_number_that_no_longer_holds_is_seen(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    report = fit("zero-shot", cache=cache, shots=2, root=str(tmp_path))
    cache["test"].labels[:] = (cache["test"].labels + 1) % 4
    assert evaluate(report.run, cache=cache).reproduced is False


def test_the_runs_own_cache_is_opened(make_cache: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = make_cache()
    report = fit("zero-shot", cache=cache, shots=2, root=str(tmp_path))
    monkeypatch.setattr(featcache, "open", lambda place, root: {cache.path: cache}[place], raising=False)
    assert evaluate(report.run).reproduced is True


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("dataset", "data set is squares, expected shapes"),
        ("weights", "encoder weights_sha256 is 00000000000000000000000000000000000.*, expected abab"),
        ("rows", "digest is .*, expected"),
    ],
)
def test_another_cache_is_refused_by_naming_the_difference(
    make_cache: Make, tmp_path: Path, key: str, message: str
) -> None:
    report = fit("zero-shot", cache=make_cache(), shots=2, root=str(tmp_path))
    other = make_cache(rows=12 if key != "rows" else 8)
    other.name = "other"
    other.encoder["changed"] = True  # so that the digest differs
    if key == "dataset":
        other.dataset["name"] = "squares"
    if key == "weights":
        other.encoder["weights_sha256"] = "0" * 64
    with pytest.raises(RunError, match=f"was fitted on cache shapes-tiny, not on other: {message}"):
        evaluate(report.run, cache=other)


def test_a_split_that_is_not_there_is_refused(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    report = fit("zero-shot", cache=cache, shots=2, root=str(tmp_path))
    with pytest.raises(TaskError, match="--split dev given"):
        evaluate(report.run, cache=cache, split="dev")


def test_a_folder_without_metrics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is broken or was saved from Python \(it has no metrics.json\)"):
        evaluate(tmp_path)
