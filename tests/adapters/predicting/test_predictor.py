from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import adapters
from adapters.errors import AdapterError, RunError
from adapters.head import Head
from adapters.predicting.encoder import check_encoder
from adapters.predicting.predictor import Prediction, Predictor, RankedClass, Tally, rank
from featcache.encoders.encoder import Encoder
from featcache.errors import DataError, ModelError

IDENTITY = {
    "architecture": "tiny",
    "pretrained": "local",
    "precision": "fp32",
    "weights_sha256": "a" * 64,
    "transform_sha256": "b" * 64,
}


@pytest.fixture(scope="module")
def predictor(saved: Any) -> Predictor:
    """One that encodes everything."""
    return adapters.Predictor.load(saved.run, root=saved.root, device="cpu", reuse=False)


@pytest.fixture(scope="module")
def expected(saved: Any) -> list[str]:
    head = adapters.load(saved.run, device="cpu")
    return [saved.cache.class_names[code] for code in head.predict(saved.cache["test"].images)]


def test_an_image_alone_is_the_cache_s_row_bit_for_bit(
    saved: Any, predictor: Predictor, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among others, alone, decoded here or by processes, or when its data set was extracted."""
    among = list(predictor.predict(saved.files, workers=0))
    assert [item.predicted for item in among] == expected
    assert [item.id for item in among] == saved.files
    assert list(predictor.predict(saved.files, workers=2)) == among
    assert [next(predictor.predict([file])) for file in saved.files[:3]] == among[:3]
    seen: list[np.ndarray] = []
    decide = Head.decision_function
    monkeypatch.setattr(Head, "decision_function", lambda self, X: seen.append(X) or decide(self, X))
    list(predictor.predict([saved.files[2]]))
    assert np.array_equal(seen[0][0], saved.cache["test"].images[2])


def test_a_file_its_bytes_its_picture_and_its_pixels_are_answered_alike(saved: Any, predictor: Predictor) -> None:
    file = Path(saved.files[0])
    picture = Image.open(file)
    given = (file, str(file), file.read_bytes(), memoryview(file.read_bytes()), picture, np.asarray(picture))
    answers = list(predictor.predict(image for image in given))
    assert [item.id for item in answers] == [str(file), str(file), "2", "3", "4", "5"]
    assert {replace(item, id="") for item in answers} == {replace(answers[0], id="")}
    assert answers[0].probability == answers[0].top[0].probability
    assert answers[0].set is not None
    assert answers[0].rejected is not None


@pytest.mark.parametrize("workers", [0, 1])
def test_bad_images_are_told_in_their_turn_and_the_rest_goes_on(
    saved: Any, predictor: Predictor, expected: list[str], workers: int, tmp_path: Path
) -> None:
    whole = Path(saved.files[1]).read_bytes()
    (tmp_path / "notes.jpg").write_text("no image, though it is called one")
    bad = [b"", whole[:-30], tmp_path / "notes.jpg", "nowhere.png", tmp_path, 7, np.zeros((2, 2)), "a\0b"]
    answers = list(predictor.predict([saved.files[0], *bad, saved.files[1]], workers=workers))
    assert [answers[0].predicted, answers[-1].predicted] == expected[:2]
    errors = [item.error for item in answers[1:-1]]
    assert errors[0] == "the file is empty"
    assert all(errors)
    assert [(error or "").partition(":")[0] for error in errors[2:6]] == [
        "not an image, or its header is damaged (33 bytes)",
        "No such file or directory",
        "Is a directory",
        "is int",
    ]
    assert all(item == Prediction(item.id, error=item.error) for item in answers[1:-1])
    tally = Tally()
    for item in answers:
        tally.add(item)
    assert (tally.images, tally.failed) == (10, 8)
    assert sum(tally.classes.values()) + (tally.rejected or 0) == 2


def test_nothing_readable_is_answered_without_a_picture(predictor: Predictor) -> None:
    assert [bool(item.error) for item in predictor.predict([b"x", b""])] == [True, True]
    assert list(predictor.predict([])) == []


def test_answers_come_while_images_do(saved: Any, predictor: Predictor) -> None:
    drawn = itertools.count()
    endless = (saved.files[next(drawn) % 5] for _ in itertools.repeat(None))
    answers = predictor.predict(endless, workers=0)
    some = list(itertools.islice(answers, 50))
    answers.close()
    assert [item.id for item in some[:7]] == [saved.files[place % 5] for place in range(7)]
    assert next(drawn) < 50 + 4 * predictor.batch_size


def test_threads_share_one(saved: Any, predictor: Predictor) -> None:
    alone = list(predictor.predict(saved.files[:9], workers=0))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: list(predictor.predict(saved.files[:9])), range(8)))
    assert found == [alone] * 8


def test_embeddings_that_a_cache_has_are_taken_from_there(
    saved: Any, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = list(predictor.predict(saved.files, workers=0))
    other = Predictor.load(saved.run, root=saved.root, device="cpu")
    monkeypatch.setattr(Encoder, "start_images", lambda *_, **__: pytest.fail("encoded again"))
    taken = list(other.predict(saved.files, workers=0))
    assert {item.cache for item in taken} == {saved.cache.name}
    assert [replace(item, cache=None) for item in taken] == encoded
    assert [item.cache for item in other.predict([Path(saved.files[0]).read_bytes()])] == [saved.cache.name]


def test_one_image_is_no_stream(predictor: Predictor, saved: Any) -> None:
    for one in (saved.files[0], b"x", Path("a"), np.zeros((3, 3, 3), np.uint8), Image.new("L", (2, 2))):
        with pytest.raises(DataError, match=r"one image was given.*give \[image\]"):
            list(predictor.predict(one))  # type: ignore[arg-type]
    with pytest.raises(AdapterError, match="--top-k 0 given"):
        list(predictor.predict([], top_k=0))
    with pytest.raises(AdapterError, match="--top-k 2 given"):
        list(predictor.predict([], top_k="2"))


def test_a_head_that_was_saved_alone_is_refused(tmp_path: Path) -> None:
    head = adapters.ZeroShot().fit(np.eye(3), [0, 1, 2], text=np.eye(3))
    head.save(tmp_path / "head", class_names=["a", "b", "c"])
    with pytest.raises(RunError, match="does not say its encoder"):
        Predictor.load(tmp_path / "head")


@pytest.mark.parametrize(("key", "what"), [("weights_sha256", "weights"), ("transform_sha256", "transform")])
def test_another_encoder_is_refused(key: str, what: str) -> None:
    check_encoder(IDENTITY, {**IDENTITY, "precision": "bf16"}, "clip-4shot")
    with pytest.raises(
        RunError, match=rf"run clip-4shot was fitted on tiny \(local\) with {what} .* here has cccccccc"
    ):
        check_encoder(IDENTITY, {**IDENTITY, key: "c" * 64}, "clip-4shot")


def test_a_moved_encoder_is_taken_where_it_is_and_another_is_not(
    saved: Any, predictor: Predictor, tmp_path: Path
) -> None:
    """The run of a directory that is gone; its model is elsewhere."""
    import shutil

    from featcache.assets import data_dir

    head = adapters.load(saved.run, device="cpu")
    lost = {**head.config["encoder"], "architecture": str(tmp_path / "gone")}
    names = {"class_names": head.config["class_names"], "cache": head.config["cache"]}
    head.save(tmp_path / "run", encoder=lost, **names)
    with pytest.raises(ModelError, match=r"encoder of run run cannot be loaded .*type --model DIR or --pretrained"):
        Predictor.load(tmp_path / "run", device="cpu")
    shutil.copytree(data_dir() / "tiny", tmp_path / "moved")
    moved = Predictor.load(tmp_path / "run", model=str(tmp_path / "moved"), root=saved.root, device="cpu", reuse=False)
    one = saved.files[:3]
    top = [[ranked.name for ranked in item.top] for item in predictor.predict(one)]
    assert [[ranked.name for ranked in item.top] for item in moved.predict(one)] == top
    head.save(tmp_path / "other", encoder={**lost, "weights_sha256": "c" * 64}, **names)
    with pytest.raises(RunError, match=r"fitted on .*gone .* with weights cccccccccccc, but .*moved"):
        Predictor.load(tmp_path / "other", model=str(tmp_path / "moved"), device="cpu")


def test_ranks_break_ties_in_class_order() -> None:
    assert rank(np.array([0.25, 0.5, 0.25]), ("a", "b", "c"), 2) == (RankedClass("b", 0.5), RankedClass("a", 0.25))
