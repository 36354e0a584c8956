"""ProLIP against the authors' code, and from a cache that keeps what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import adapters
import featcache
from adapters import ProLIP, RegularizedLinearAdapter, load
from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.fitting.fit import fit
from adapters.methods import zero_shot
from adapters.runs.evaluate import evaluate
from adapters.tasks.seen import task_seen_by
from tests.golden_files import golden
from tests.pictures import draw_class_folders

DATA, SUPPORT, WEIGHTS, GOLD = golden("data", "support", "text_weights", "prolip")
ROWS = SUPPORT["rows_k4"]
X, LABELS = GOLD["support_pre"].transpose(1, 0, 2), SUPPORT["labels"][ROWS]
TEST = GOLD["test_pre"]


@dataclass
class Text:
    """Class text with the projection that the images' features come before."""

    image_projection: np.ndarray
    image_bias: bool = False
    logit_scale: float = 100.0

    def weights(self) -> np.ndarray:
        return WEIGHTS["tip"]


PLAIN = Text(GOLD["proj_init"])


@pytest.mark.parametrize(("run", "settings"), [("valfree", {}), ("nopen", {"lr": 1e-2, "penalty": 0.0})])
def test_training_is_the_authors(run: str, settings: dict[str, float]) -> None:
    head = ProLIP(steps=60, device="cpu", **settings).fit(X, LABELS, text=PLAIN)
    np.testing.assert_allclose(head.losses_, GOLD[f"{run}_loss"], atol=1e-4)
    np.testing.assert_allclose(head.matrix_.T, GOLD[f"{run}_proj"], atol=1e-4)
    np.testing.assert_allclose(head.decision_function(TEST), GOLD[f"{run}_logits"], atol=1e-3)


def test_untrained_it_is_zero_shot() -> None:
    np.testing.assert_allclose(zero_shot(PLAIN).decision_function(TEST), GOLD["logits_init"], atol=1e-3)


def test_a_bias_takes_part_and_stays() -> None:
    rng = np.random.default_rng(0)
    bias, ones = rng.normal(size=(1, 64)), np.ones((*X.shape[:2], 1))
    text = Text(np.concatenate([GOLD["proj_init"], bias]).astype(np.float32), image_bias=True)
    rows = np.concatenate([X, ones], axis=2)
    test = np.concatenate([TEST, np.ones((len(TEST), 1))], axis=1)
    expected = 100 * unit(TEST @ GOLD["proj_init"] + bias) @ WEIGHTS["tip"].T
    np.testing.assert_allclose(zero_shot(text).decision_function(test), expected, atol=1e-3)
    head = ProLIP(steps=5, device="cpu").fit(rows, LABELS, text=text)
    np.testing.assert_array_equal(head.matrix_[:, -1], text.image_projection[-1])
    assert np.abs(head.matrix_[:, :-1].T - GOLD["proj_init"]).max() > 1e-4


def test_without_the_projection_it_is_reg_linear_and_says_so() -> None:
    views = SUPPORT["views"][:, ROWS].transpose(1, 0, 2)
    head = ProLIP(steps=5, device="cpu").fit(views, LABELS, text=WEIGHTS["tip"])
    other = RegularizedLinearAdapter(steps=5, device="cpu").fit(views, LABELS, text=WEIGHTS["tip"])
    np.testing.assert_array_equal(head.matrix_, other.matrix_)
    assert "no ProLIP" in head.prediction_note(DATA["test_features"])
    assert ProLIP(steps=1).fit(X, LABELS, text=PLAIN).prediction_note(TEST) == ""


def test_other_classes_are_scored_from_their_text(tmp_path: Path) -> None:
    head = ProLIP(steps=5).fit(X, LABELS, text=PLAIN)
    head.save(tmp_path / "run")
    kept = load(tmp_path / "run")
    other = kept.for_classes(WEIGHTS["tip"][[7, 2, 5]])
    np.testing.assert_allclose(other.decision_function(TEST), head.decision_function(TEST)[:, [7, 2, 5]], atol=1e-4)
    with pytest.raises(AdapterError, match="text has 8 columns; the head's has 64"):
        kept.for_classes(np.ones((3, 8)))


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(AdapterError, match="X has 80 columns; the projection after it takes 81"):
        ProLIP().fit(X, LABELS, text=Text(np.ones((81, 64), np.float32)))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> featcache.Cache:
    place = tmp_path_factory.mktemp("kept")
    draw_class_folders(place / "photos", classes=2, per_class=6, seed=0)
    how = {"keep": "pre-projection", "root": place / "home", "views": 1, "workers": 0, "device": "cpu"}
    return featcache.extract("tiny", str(place / "photos"), progress=False, **how)  # type: ignore[arg-type]


def test_from_images_to_an_answer(kept: featcache.Cache, tmp_path: Path) -> None:
    run = fit("prolip", cache=kept, shots=2, params={"steps": 5}, device="cpu", out=tmp_path / "run")
    assert run.accuracy["zero_shot"] == adapters.fit("zero-shot", kept, shots=2).report_.accuracy["test"]
    assert evaluate(tmp_path / "run", device="cpu").reproduced
    test = kept.before_projection()["test"]
    expected = load(tmp_path / "run").predict_proba(test.images).argmax(1)
    folder = Path(kept.manifest["provenance"]["request"]["dataset"])
    paths = [str(next(folder.rglob(Path(str(each)).name))) for each in test.ids]
    answers = adapters.Predictor.load(tmp_path / "run", device="cpu").predict(paths)
    assert [answer.predicted for answer in answers] == [kept.class_names[code] for code in expected]


def test_a_cache_without_it_is_told_what_to_type(make_cache: Callable[..., featcache.Cache]) -> None:
    for method, tower in (("prolip", "image"), ("semobridge", "text"), ("semobridge-t", "text")):
        with pytest.raises(AdapterError, match=rf"{method} needs the {tower} tower's .*--keep pre-projection"):
            adapters.fit(method, make_cache(), shots=2)


def test_a_task_is_drawn_alike_before_the_projection(kept: featcache.Cache) -> None:
    task = adapters.Task.sample(kept, shots=2)
    other = task_seen_by(ProLIP, task)
    assert other.support.rows.tolist() == task.support.rows.tolist()
    assert kept.projections is not None
    weight = np.concatenate([kept.projections["image"], kept.projections["image_bias"][None]])
    for before, after in ((other.support.images, task.support.images), (other.support.views, task.support.views)):
        np.testing.assert_allclose(before @ weight, after, atol=2e-2)  # of stored halves
    assert task_seen_by(adapters.TipAdapter, task) is task
