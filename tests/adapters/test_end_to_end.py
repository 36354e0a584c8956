"""The real encoder, store and heads together: digits through `tiny`, fit, evaluate, predict."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import adapters
import featcache
from adapters.fitting.fit import fit
from adapters.predicting.encoder import load_encoder
from adapters.predicting.predictor import Predictor
from adapters.runs.catalogue import list_runs
from adapters.runs.evaluate import evaluate
from adapters.tasks.task import Task
from featcache.datasets.load import load_dataset


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("root")
    return featcache.extract("tiny", "digits", views=2, limit=80, root=root, workers=0, progress=False)


def test_fit_evaluate_and_predict_agree(cache: Any, tmp_path: Path) -> None:
    report = fit("tip", cache=cache, shots=4, out=tmp_path / "run")
    assert report.accuracy["test"] > 0.5
    again = evaluate(tmp_path / "run")  # opens the cache that the run names
    assert again.reproduced is True
    assert again.ece == report.ece["test"]

    reader = load_dataset("digits").reader
    test = Task.sample(cache, shots=4).test
    folder = tmp_path / "pictures"
    folder.mkdir()
    for image_id in test.ids[:12]:
        Image.fromarray(np.asarray(reader.read(str(image_id)))).save(folder / f"{image_id}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    predictor = Predictor.load(tmp_path / "run", device="cpu")
    answers = {Path(item.id).stem: item.predicted for item in predictor.predict(sorted(folder.iterdir()))}
    head = adapters.load(tmp_path / "run")
    expected = [cache.class_names[code] for code in head.predict(test.images[:12])]
    assert [answers[image_id] for image_id in test.ids[:12]] == expected
    assert answers["broken"] is None


def test_views_are_read_for_the_support_alone(cache: Any) -> None:
    task = Task.sample(featcache.open(cache.path), shots=2)
    assert task.support.views is not None
    assert task.support.views.shape == (20, 2, 128)
    np.testing.assert_array_equal(task.support.views, cache["train"].views[task.support.rows])
    np.testing.assert_array_equal(task.support.images, cache["train"].images[task.support.rows])
    assert "views" not in vars(task.cache["train"])  # the whole array was never asked for


def test_fitting_imports_no_encoder(cache: Any, tmp_path: Path) -> None:
    code = f"""
import sys
import featcache
from adapters.fitting.fit import fit
from adapters.runs.evaluate import evaluate
fit("clip", cache=featcache.open({cache.path!r}), shots=2, out={str(tmp_path / "run")!r})
evaluate({str(tmp_path / "run")!r})
print(sorted({{name.split(".")[0] for name in sys.modules}} & {{"open_clip", "torchvision", "timm"}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_fp16_run_predicts_on_a_cpu_in_fp32_and_says_so(cache: Any) -> None:
    of_cpu = {key: value for key, value in cache.encoder.items() if key != "precision_by"} | {"precision": "fp32"}
    encoder, note = load_encoder(of_cpu, "run", device="cpu")
    assert (encoder.identity["precision"], note) == ("fp32", "")
    encoder, note = load_encoder({**of_cpu, "precision": "fp16"}, "run", device="cpu")
    assert encoder.identity["precision"] == "fp32"
    assert "cache in fp16" in note


def test_runs_are_listed_from_the_root(cache: Any, tmp_path: Path) -> None:
    first = fit("linear", cache=cache, shots=1, root=str(tmp_path))
    second = fit("zero-shot", cache=cache, shots=1, root=str(tmp_path))
    assert [run.report for run in list_runs(str(tmp_path))] == [second, first]
