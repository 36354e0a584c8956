"""Joined caches: rows, texts and logits against the equation, one encoder at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from adapters import GDA, ZeroShot
from adapters.arrays import unit
from adapters.errors import AdapterError, TaskError
from adapters.joining.joined_cache import JoinedCache, join
from adapters.joining.opening import open_place
from adapters.joining.places import placed_at, typed
from adapters.methods import METHODS
from adapters.tasks.seen import seen_by
from adapters.tasks.task import Task

Bring = Callable[..., Any]
WEIGHTS = (0.3, 0.7)


def own_logits(cache: Any, ids: np.ndarray) -> np.ndarray:
    """Zero-shot logits (N, C) of one encoder, of test images by their ids, in float64."""
    test = cache["test"]
    rows = [test.ids.tolist().index(each) for each in ids]
    return np.float64(cache.text.logit_scale) * unit(test.images[rows]).astype(np.float64) @ cache.text.weights().T


@pytest.fixture(scope="module")
def pair(caches: Bring) -> tuple[Any, Any]:
    return caches("one"), caches("other", width=5, scale=20.0, order=True)


def test_zero_shot_is_the_weighted_mean_of_the_encoders_logits(pair: tuple[Any, Any]) -> None:
    joined = join(pair, WEIGHTS)
    test = joined["test"]
    head = ZeroShot(logit_scale=joined.text.logit_scale).fit(test.images, test.labels, text=joined.text)
    expected = sum(w * own_logits(cache, test.ids) for w, cache in zip(WEIGHTS, pair, strict=True))
    np.testing.assert_allclose(head.decision_function(test.images), expected, atol=2e-5)


def test_images_are_unit_rows_whose_cosine_is_the_weighted_mean(pair: tuple[Any, Any]) -> None:
    joined = join(pair, WEIGHTS)
    images = joined["train"].images
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-6)
    one, other = (cache["train"] for cache in pair)
    moved = [other.ids.tolist().index(each) for each in one.ids]
    expected = [unit(one.images), unit(other.images[moved])]
    cosines = sum(w * part @ part.T for w, part in zip(WEIGHTS, expected, strict=True))
    np.testing.assert_allclose(images @ images.T, cosines, atol=1e-6)
    rows = np.array([7, 3, 30])
    np.testing.assert_array_equal(joined["train"].take_images(rows), images[rows])
    np.testing.assert_array_equal(joined["train"].labels, one.labels)


def test_prompts_are_joined_one_by_one_and_have_the_mean_of_the_encoders_own(pair: tuple[Any, Any]) -> None:
    text = join(pair, WEIGHTS).text
    assert text.features.shape == (3, 2, 13)
    of_one, of_other = text.weights()[:, :8], text.weights()[:, 8:]
    np.testing.assert_allclose(unit(of_one), pair[0].text.weights(), atol=1e-6)
    np.testing.assert_allclose(unit(of_other), pair[1].text.weights(), atol=1e-6)
    mean = text.features.mean(1)
    np.testing.assert_allclose(unit(mean), text.weights(), atol=1e-6)
    assert [block.width for block in text.blocks] == [8, 5]
    np.testing.assert_allclose([text.logit_scale * block.scale for block in text.blocks], [50, 20], rtol=1e-6)


def test_prompts_that_differ_leave_a_row_a_class(caches: Bring, pair: tuple[Any, Any]) -> None:
    joined = join([pair[0], caches("three", prompts=3)])
    assert joined.text.features.shape == (3, 1, 16)
    np.testing.assert_allclose(unit(joined.text.weights()[:, :8]), pair[0].text.weights(), atol=1e-6)


def test_an_encoder_without_text_changes_no_zero_shot_but_what_images_say_of_each_other(
    caches: Bring, pair: tuple[Any, Any]
) -> None:
    silent = caches("silent", width=4, text=False)
    assert silent.prompt_sets == ()
    joined = join([pair[0], silent], WEIGHTS)
    test = joined["test"]
    head = ZeroShot(logit_scale=joined.text.logit_scale).fit(test.images, test.labels, text=joined.text)
    np.testing.assert_allclose(head.decision_function(test.images), own_logits(pair[0], test.ids), atol=2e-5)
    assert not joined.text.weights()[:, 8:].any()
    assert [part["text"] for part in joined.joined["parts"]] == [True, False]
    fitted = GDA().fit(joined["train"].images, joined["train"].labels, text=joined.text)
    alone = GDA().fit(pair[0]["train"].images, pair[0]["train"].labels, text=pair[0].text)
    assert np.abs(fitted.decision_function(test.images) - alone.decision_function(pair[0]["test"].images)).max() > 0.1
    with pytest.raises(TaskError, match="have a weight has class text"):
        join([pair[0], silent], (0, 1)).text  # noqa: B018


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"class_names": np.array(["ant", "bee", "cow"])}, "class 2 is cat and cow"),
        ({"test_labels": (np.arange(60, 90) + 1) % 3}, "ant/60.jpg of test is ant and bee"),
        ({"val_ids": np.array([f"x/{n}.jpg" for n in range(15)])}, "val of one has ant/45.jpg, which wrong lacks"),
    ],
)
def test_the_first_difference_is_named(
    pair: tuple[Any, Any], caches: Bring, tmp_path: Any, changed: Any, message: str
) -> None:
    wrong = caches("wrong", root=tmp_path, **changed)
    with pytest.raises(TaskError, match=message):
        join([pair[0], wrong])


@pytest.mark.parametrize(
    ("weights", "message"), [((1, 2, 3), "expected 2 numbers"), ((-1, 2), "0 or more"), ((0, 0), "not all 0")]
)
def test_weights_that_are_none_are_refused(pair: tuple[Any, Any], weights: Any, message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        join(pair, weights)
    with pytest.raises(AdapterError, match="each encoder once"):
        join([pair[0], pair[0]])


def test_a_place_opens_the_same_join_again(pair: tuple[Any, Any]) -> None:
    joined = join(pair, (3, 7))
    again = open_place(joined.path)
    assert isinstance(again, JoinedCache)
    assert (again.digest, again.weights, again.name) == (joined.digest, WEIGHTS, "one+other")
    assert joined.digest != join(pair).digest != join(pair, "auto").digest
    chosen = join(pair, "auto").weighted((1 / 2.7, 1.7 / 2.7), "")  # of a chosen ratio: rounded, their sum is not 1
    assert math.fsum(chosen.weights) != 1
    assert open_place(chosen.path).digest == chosen.digest
    assert typed(joined.path, joined.name) == "--cache one --cache other --weights 0.3,0.7"
    assert placed_at("/caches/one") == []
    with pytest.raises(TaskError, match="expected joined://"):
        placed_at("joined://?cache=/a")


def test_a_head_that_sees_an_encoders_projections_is_told_to_take_one_cache(pair: tuple[Any, Any]) -> None:
    with pytest.raises(
        AdapterError, match="prolip needs .* of one encoder, and one.other are joined: give one --cache"
    ):
        seen_by(METHODS["prolip"], join(pair))


def test_mended_labels_are_of_the_whole_join(pair: tuple[Any, Any], tmp_path: Any) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("id,label\nant/00.jpg,bee\nbee/01.jpg,\n")
    joined = join(pair).relabelled(file)
    assert joined["train"].labels[:2].tolist() == [1, -1]
    assert joined["train"].stored_labels[:2].tolist() == [0, 1]
    assert len(Task.sample(joined, shots="all").support) == 44


def test_a_row_that_one_encoder_could_not_read_is_no_row(caches: Bring, pair: tuple[Any, Any], tmp_path: Any) -> None:
    joined = join(pair)
    part = joined.parts[1]["test"]
    row = int(np.flatnonzero(part.ids == "ant/60.jpg")[0])
    part.__dict__["valid"] = np.arange(30) != row
    assert not joined["test"].valid[0]
    assert joined["test"].valid[1:].all()
    del part.__dict__["valid"]
