"""A run as an ONNX file: with its encoder it classifies pictures as `adapters predict`, where there is no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import featcache
from adapters.errors import AdapterError
from adapters.exporting import export as exporting
from adapters.exporting.export import export
from adapters.fitting.fit import fit
from adapters.methods import load
from adapters.predicting.predictor import Predictor
from tests.pictures import draw_class_folders
from tests.processes import mistake

EXAMPLE = Path(__file__).parents[3] / "docs/classify_onnx.py"
WITHOUT_TORCH = """
import runpy, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "open_clip", "featcache", "adapters", "sklearn"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a run of `tip`, and pictures of several shapes beside it."""
    home = tmp_path_factory.mktemp("export")
    folder = draw_class_folders(home / "photos", classes=3, per_class=20, seed=0)
    cache = featcache.extract(model="tiny", dataset=str(folder), root=str(home), progress=False)
    fit("tip", cache=cache, shots=2, select="none", out=home / "runs/a/b/head")
    pictures = home / "pictures"
    pictures.mkdir()
    for number, size in enumerate([(32, 32), (90, 41), (37, 200), (20, 25)]):
        tint = np.asarray(Image.open(sorted((folder / f"class_{number % 3}").iterdir())[0]).resize(size).convert("RGB"))
        Image.fromarray(tint).save(pictures / f"{number}.png")
    return home


def test_one_file_classifies_pictures_where_there_is_no_torch(photos: Path, tmp_path: Path) -> None:
    file, pictures = tmp_path / "head.onnx", sorted((photos / "pictures").iterdir())
    told = export("head", with_encoder=True, out=file, root=str(photos))
    assert (told.file, told.bytes) == (str(file), file.stat().st_size)
    assert told.takes == "pixels (N, 32, 32, 3) uint8, RGB"
    assert (told.checked, told.same_predictions) == (16, 16)
    assert told.largest_difference is not None
    assert told.largest_difference < 1e-3
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(EXAMPLE), str(file), *map(str, pictures)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected = Predictor.load(photos / "runs/a/b/head", reuse=False).predict(pictures)
    lines = [f"{item.top[0].probability:.3f} {item.top[0].name}: {item.id}" for item in expected]
    assert done.stdout.splitlines() == lines


def test_the_head_alone_names_its_classes_and_where_it_comes_from(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moved(*words: Any, **more: Any) -> Any:
        head = load(*words, **more)
        head.config["encoder"]["architecture"] = "/home/someone/models/tiny"
        return head

    monkeypatch.setattr(exporting, "load", moved)
    told = export("head", out=tmp_path / "new" / "head.onnx", root=str(photos))
    assert told.takes == "features (N, 128) float32"
    assert (told.checked, told.same_predictions) == (5000, 5000)
    assert told.largest_difference is not None
    assert told.largest_difference <= 1e-4
    session = onnxruntime.InferenceSession(told.file)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["class_names"]) == ["class 0", "class 1", "class 2"]
    assert (metadata["run"], metadata["method"]) == ("head", "tip")
    assert len(json.loads(metadata["encoder"])["weights_sha256"]) == len(metadata["weights_sha256"]) == 64
    assert json.loads(metadata["encoder"])["architecture"] == "tiny"
    assert "resizing" not in metadata


def test_none_but_ties_may_fall_otherwise() -> None:
    expected = np.array([[1, 0.5], [1, 0.5], [1, 1 - 1e-4]], np.float32)
    found = np.array([[1, 0.5], [0.5, 1], [1 - 1e-4, 1]], np.float32)
    assert exporting._same(found, expected, np.full((3, 1), 1e-4, np.float32)) == 2


def test_a_file_that_answers_otherwise_is_not_written(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another(content: bytes, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = exporting.load(photos / "runs/a/b/head").decision_function(rows)
        return logits + 0.01, logits

    monkeypatch.setattr(exporting, "run_onnx", another)
    with pytest.raises(AdapterError, match="does not answer as its head: logits differ by 0.01, 0 of 5000 predictions"):
        export("head", out=tmp_path / "head.onnx", root=str(photos))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_found_before_the_work(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "load", lambda *words, **more: pytest.fail("the work had begun"))
    with pytest.raises(IsADirectoryError):
        export("head", out=photos, root=str(photos))


def test_a_method_that_says_nothing_of_torch_cannot(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Untold:
        method = "untold"

    monkeypatch.setattr(exporting, "load", lambda *words, **more: Untold())
    with pytest.raises(AdapterError, match="untold cannot be exported: its class does not say its logits in torch"):
        export("head", out=photos / "untold.onnx", root=str(photos))


def test_another_format_is_a_line() -> None:
    assert "'tflite' is not one of 'onnx'" in mistake("adapters", "export", "head", "--to", "tflite")
