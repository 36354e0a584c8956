"""Mended labels reach every door in the same way, and a run is scored on those that it was fitted with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import adapters
from adapters.bench.benchmark import run as bench
from adapters.errors import RunError
from adapters.fitting.fit import fit
from adapters.runs.compare import compare
from adapters.runs.evaluate import evaluate
from adapters.search.search import run as search
from adapters.tasks.task import Task
from tests.adapters.conftest import FakeCache

Make = Callable[..., FakeCache]


@pytest.fixture
def cache(make_cache: Make) -> FakeCache:
    """Of whose test split a third has a wrong label, and a shot too."""
    made = make_cache(12)
    test = made["test"]
    test.labels[:16] = (test.labels[:16] + 1) % 4
    return made


@pytest.fixture
def file(cache: FakeCache, tmp_path: Path) -> Path:
    """The right labels of these, and an image of train left out."""
    names, test = cache.class_names, cache["test"]
    lines = [f"{test.ids[row]},{names[(test.labels[row] - 1) % 4]}" for row in range(16)]
    path = tmp_path / "mended.csv"
    path.write_text("\n".join(["id,label", *lines, f"{cache['train'].ids[0]},"]) + "\n", encoding="utf-8")
    return path


def test_every_door_scores_on_mended_labels_and_says_so(cache: FakeCache, file: Path, tmp_path: Path) -> None:
    mended = cache.relabelled(file)
    assert mended.mended is not None
    digest = mended.mended.digest
    before = fit("tip", cache=cache, shots=2, root=str(tmp_path))
    saved = fit("tip", cache=mended, shots=2, root=str(tmp_path))
    assert saved.accuracy["test"] > before.accuracy["test"] + 0.2  # type: ignore[operator]
    assert saved.run != before.run
    assert saved.labels is not None
    assert before.labels is None
    assert saved.labels["digest"] == digest
    assert "mended labels: mended.csv" in saved.note
    assert json.loads((Path(saved.run) / "config.json").read_text())["labels"]["digest"] == digest

    assert adapters.fit("tip", mended, shots=2).report_.accuracy == saved.accuracy
    found = bench("tip", caches=[mended], shots=[2], seeds=[1], out=tmp_path / "bench")
    (row,) = [record.row for record in found.records if record.row.method == "tip"]
    assert (row.accuracy, row.labels_digest) == (saved.accuracy["test"], digest)
    assert any("mended.csv" in note for note in found.notes)
    again = bench("tip", caches=[cache], shots=[2], seeds=[1], out=tmp_path / "bench")
    assert (again.ran, [r.row.accuracy for r in again.records if r.row.method == "tip"]) == (
        2,
        [before.accuracy["test"]],
    )
    tried = search("tip", {"alpha": (0.0, 1.0)}, cache=mended, shots=[2], seeds=[1], root=str(tmp_path))
    assert tried.best[0]["test"]["default"] == saved.accuracy["test"]
    assert json.loads((tried.folder / "search.json").read_text())["labels_digest"] == digest
    assert f"--labels {file}" in tried.next_command
    assert (
        tried.folder
        != search("tip", {"alpha": (0.0, 1.0)}, cache=cache, shots=[2], seeds=[1], root=str(tmp_path)).folder
    )


def test_an_image_left_out_is_never_drawn(cache: FakeCache, file: Path) -> None:
    out = cache["train"].ids[0]
    drawn = Task.sample(cache.relabelled(file), shots=12, allow_fewer=True).support
    assert len(drawn) == 47
    assert out not in drawn.ids


def test_an_index_file_may_know_the_labels_from_before(cache: FakeCache, tmp_path: Path) -> None:
    train = cache["train"]
    rows = np.concatenate([np.flatnonzero(train.labels == c)[:2] for c in range(4)])
    entries = [{"impath": str(train.ids[r]), "label": int(train.labels[r]), "classname": "x"} for r in rows]
    index = tmp_path / "shots.json"
    index.write_text(json.dumps({"train": {"data": entries, "indices": []}}))
    file = tmp_path / "l.csv"
    file.write_text(f"id,label\n{train.ids[rows[0]]},{cache.class_names[1]}\n")
    task = Task.sample(cache.relabelled(file), shots=3, indices=index, allow_fewer=True)
    assert np.bincount(task.support.labels).tolist() == [1, 3, 2, 2]


def test_a_run_is_scored_on_its_own_labels_or_those_given(cache: FakeCache, file: Path, tmp_path: Path) -> None:
    saved = fit("tip", cache=cache.relabelled(file), shots=2, out=tmp_path / "mended")
    plain = fit("tip", cache=cache, shots=2, out=tmp_path / "plain")
    own = evaluate(saved.run, cache=cache)  # type: ignore[arg-type]
    assert own.reproduced
    assert own.labels is not None
    given = evaluate(plain.run, cache=cache, labels=file)  # type: ignore[arg-type]
    assert given.reproduced is None  # the saved accuracy is of other labels
    assert given.accuracy > plain.accuracy["test"]  # type: ignore[operator]
    with pytest.raises(RunError, match="fitted with different labels: type --labels FILE"):
        compare([saved.run, plain.run], cache=cache)  # type: ignore[arg-type]
    found = compare([saved.run, plain.run], cache=cache, labels=file)  # type: ignore[arg-type]
    assert found.runs[0].scores.accuracy == saved.accuracy["test"]
    assert found.labels is not None

    other = tmp_path / "other.csv"
    other.write_text(f"id,label\n{cache['test'].ids[20]},\n", encoding="utf-8")
    opened = cache.relabelled(other)  # what the cache was opened with counts more than what the run names
    assert evaluate(saved.run, cache=opened).labels == opened.mended.told  # type: ignore[arg-type, union-attr]

    file.write_text(file.read_text() + f"{cache['val'].ids[0]},\n")
    with pytest.raises(RunError, match=r"fitted with other labels .* than .*mended.csv holds now .*type --labels FILE"):
        evaluate(saved.run, cache=cache)  # type: ignore[arg-type]
    file.unlink()
    with pytest.raises(RunError, match="labels that cannot be read now"):
        evaluate(saved.run, cache=cache)  # type: ignore[arg-type]


def test_caches_of_older_reports_have_no_mended_labels(cache: FakeCache, tmp_path: Path) -> None:
    saved = fit("zero-shot", cache=cache, shots=1, out=tmp_path / "run")
    metrics = Path(saved.run) / "metrics.json"
    content = json.loads(metrics.read_text())
    del content["labels"], content["seal"]  # nor a seal
    metrics.write_text(json.dumps(content))
    assert evaluate(saved.run, cache=cache).reproduced  # type: ignore[arg-type]
