from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adapters.errors import AdapterError, RunError
from adapters.fitting.fit import fit
from adapters.head import Head
from adapters.runs import predict as predict_module
from adapters.runs.predict import (
    FoundImage,
    Prediction,
    Predictions,
    RankedClass,
    check_encoder,
    find_images,
    predict,
    predictions_csv,
    rank,
)
from featcache.show.spreadsheet import BYTE_ORDER_MARK

IDENTITY = {
    "architecture": "tiny",
    "pretrained": "local",
    "precision": "fp32",
    "weights_sha256": "a" * 64,
    "transform_sha256": "b" * 64,
}


class GreyEncoder:
    """Embeds an image as the class centre that its grey level names."""

    def __init__(self, centres: np.ndarray) -> None:
        self.centres, self.identity, self.batches = centres, IDENTITY, []
        self.device, self.draft = SimpleNamespace(type="cpu"), None

    def pixels(self, image: Image.Image) -> Any:
        import torch

        return torch.full((3, 2, 2), float(image.convert("L").getpixel((0, 0))))

    def encode_images(self, pixels: Any, *, pad_to: int) -> np.ndarray:
        self.batches.append((len(pixels), pad_to))
        return self.centres[pixels[:, 0, 0, 0].numpy().astype(int) // 10]


@pytest.fixture
def run(make_cache: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, GreyEncoder]:
    """A saved run, and an encoder that answers class c for images of grey level 10 c."""
    cache = make_cache()
    report = fit("linear", cache=cache, shots=8, root=str(tmp_path / "root"))
    train = cache["train"]
    centres = np.stack([train.images[train.labels == index].mean(0) for index in range(4)])
    encoder = GreyEncoder(centres.astype(np.float32))
    monkeypatch.setattr(predict_module, "load_encoder", lambda identity, name, device: (encoder, ""))
    return report.run, encoder


def picture(path: Path, grey: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), grey).save(path)
    return path


def test_bad_images_are_told_and_the_rest_goes_on(run: tuple[str, GreyEncoder], tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for name, grey in (("a.png", 0), ("sub/d.png", 30), ("c.png", 20)):
        picture(folder / name, grey)
    (folder / "b.jpg").write_bytes(b"not an image")
    (folder / "e.png").write_bytes(b"")
    whole = picture(tmp_path / "whole.png", 10).read_bytes()
    (folder / "f.png").write_bytes(whole[: len(whole) - 20])
    (folder / "notes.txt").write_text("no image, and none claimed")
    result = predict(run[0], [folder, tmp_path / "nowhere.png", tmp_path / "whole.png"], top_k=2)
    answers = [(Path(item.file).name, item.classes[0].name if item.classes else None) for item in result.items]
    assert answers == [
        ("a.png", "annual crop"),
        ("b.jpg", None),
        ("c.png", "river"),
        ("e.png", None),
        ("f.png", None),
        ("d.png", "sea"),
        ("nowhere.png", None),
        ("whole.png", "forest"),
    ]
    errors = {Path(item.file).name: item.error for item in result.items if item.error}
    assert errors["nowhere.png"] == "no such file or folder"
    assert errors["e.png"] == "the file is empty"
    assert set(errors) == {"b.jpg", "e.png", "f.png", "nowhere.png"}
    assert result.failed == 4
    assert all(len(item.classes) == 2 for item in result.items if item.error is None)
    assert run[1].batches == [(1, 2), (1, 2), (1, 2), (1, 2)]  # as the cache was, and bad ones are not encoded
    content = result.to_json()
    assert json.loads(json.dumps(content))["items"][0]["classes"][0]["name"] == "annual crop"


def test_probabilities_are_the_heads(run: tuple[str, GreyEncoder], tmp_path: Path) -> None:
    import adapters

    result = predict(run[0], [picture(tmp_path / "x.png", 20)], top_k=9)
    (item,) = result.items
    expected = adapters.load(run[0]).predict_proba(run[1].centres[2:3])[0]
    assert [ranked.probability for ranked in item.classes] == pytest.approx(sorted(expected, reverse=True), abs=1e-6)
    assert len(item.classes) == 4  # no more than there are classes


def test_no_image_at_all_is_told_for_the_folder(run: tuple[str, GreyEncoder], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (item,) = predict(run[0], [tmp_path / "empty"]).items
    assert item == Prediction(str(tmp_path / "empty"), error="the folder holds no images")


def test_senseless_top_k_is_refused(run: tuple[str, GreyEncoder]) -> None:
    with pytest.raises(AdapterError, match="--top-k 0 given"):
        predict(run[0], [], top_k=0)


def test_a_head_that_was_saved_alone_is_refused(tmp_path: Path) -> None:
    import adapters

    head = adapters.ZeroShot().fit(np.eye(3), [0, 1, 2], text=np.eye(3))
    head.save(tmp_path / "head", class_names=["a", "b", "c"])
    with pytest.raises(RunError, match="does not say its encoder"):
        predict(tmp_path / "head", [])


@pytest.mark.parametrize(("key", "what"), [("weights_sha256", "weights"), ("transform_sha256", "transform")])
def test_another_encoder_is_refused(key: str, what: str) -> None:
    check_encoder(IDENTITY, {**IDENTITY, "precision": "bf16"}, "clip-4shot")
    with pytest.raises(
        RunError, match=rf"run clip-4shot was fitted on tiny \(local\) with {what} .* here has cccccccc"
    ):
        check_encoder(IDENTITY, {**IDENTITY, key: "c" * 64}, "clip-4shot")


def test_folders_give_their_images_sorted_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.PNG", "a/z.jpg", ".hidden/c.png", "a/.d.png", "e.txt"):
        picture(tmp_path / "x.png", 0)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "x.png").unlink()
    found = [FoundImage(str(tmp_path / name)) for name in ("a/z.jpg", "b.PNG")]
    assert list(find_images([tmp_path])) == found
    assert list(find_images([tmp_path / "e.txt"])) == [FoundImage(str(tmp_path / "e.txt"))]  # asked for by name


def test_ranks_break_ties_in_class_order() -> None:
    assert rank(np.array([0.25, 0.5, 0.25]), ("a", "b", "c"), 2) == (RankedClass("b", 0.5), RankedClass("a", 0.25))


def test_csv_has_one_line_a_file_whatever_its_name(tmp_path: Path) -> None:
    items = (
        Prediction(
            'a,"b".png',
            (RankedClass("sea, lake", 0.75), RankedClass("river", 0.25)),
            None,
            ("sea, lake", "river"),
            True,
        ),
        Prediction("bad.png", error="the file is empty"),
    )
    text = predictions_csv(Predictions("run", "tip", "tiny", "", items))
    assert text[0] == BYTE_ORDER_MARK
    lines = list(csv.reader(io.StringIO(text[1:])))
    assert lines == [
        ["file", "class_1", "probability_1", "class_2", "probability_2", "set", "rejected", "error"],
        ['a,"b".png', "sea, lake", "0.750000", "river", "0.250000", "sea, lake; river", "true", ""],
        ["bad.png", "", "", "", "", "", "", "the file is empty"],
    ]


def test_an_image_alone_is_the_cache_s_row_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among others, alone, or when its data set was extracted."""
    import featcache
    from adapters.methods import load

    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        for number in range(12):
            path = tmp_path / "set" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(path)
    asked = {"root": str(tmp_path), "workers": 0, "progress": False, "device": "cpu"}
    cache = featcache.extract("tiny", str(tmp_path / "set"), batch_size=7, **asked)
    saved = fit("clip", cache=cache, shots=2, root=str(tmp_path)).run
    test = cache["test"]
    logits = load(saved).decision_function(test.images)
    files = [tmp_path / "set" / str(image_id) for image_id in test.ids]
    among = predict(saved, files, device="cpu")
    alone = [predict(saved, [file], device="cpu").items[0] for file in files[:3]]
    assert list(among.items[:3]) == alone
    assert [item.classes[0].name for item in among.items] == [cache.class_names[i] for i in logits.argmax(1)]

    seen = []
    decide = Head.decision_function
    monkeypatch.setattr(Head, "decision_function", lambda self, X: seen.append(X) or decide(self, X))
    predict(saved, [files[2]], device="cpu")
    assert np.array_equal(seen[0][0], test.images[2])
