"""Answers beside one class, from fit to predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from adapters.answers.answers import Answers
from adapters.answers.files import read_answers
from adapters.answers.likeness import Likeness
from adapters.answers.prediction_sets import set_scores
from adapters.arrays import text_weights
from adapters.errors import AdapterError, RunError
from adapters.fitting.fit import fit, fit_and_score
from adapters.methods import load
from adapters.metrics import softmax
from adapters.runs.evaluate import evaluate
from adapters.runs.folder import ANSWERS
from adapters.selection.regimes import REGIMES

Make = Callable[..., Any]


@pytest.mark.parametrize("select", ["none", "support", "val"])
def test_what_was_learned_is_saved_and_answers_again(make_cache: Make, tmp_path: Path, select: str) -> None:
    cache = make_cache()
    asked = {"reject": 0.1, "coverage": 0.8}
    report = fit("clip", cache=cache, shots=8, select=select, root=str(tmp_path), params={"epochs": 5}, **asked)
    assert report.answers is not None
    rows = (
        "48 validation rows" if select == "val" else "32 shots (left out in turn, so that what was asked is met about)"
    )
    assert report.answers["note"].startswith(f"thresholds learned from {rows}")
    head = load(report.run)
    answers = read_answers(Path(report.run) / ANSWERS, head.config)
    images, labels = cache["test"].images, cache["test"].labels
    rejected, sets = answers.rejected(images), answers.sets(head.predict_proba(images).astype(np.float64))
    assert rejected is not None
    assert sets is not None
    assert rejected.mean() == report.answers["refused"]
    assert sets[np.arange(len(labels)), labels].mean() == report.answers["covered"]
    again = evaluate(report.run, cache=cache, by_image=True)
    assert again.answers == report.answers
    assert again.by_image is not None
    assert [row["rejected"] for row in again.by_image] == rejected.tolist()
    names = [[cache.class_names[c] for c in np.flatnonzero(row)] for row in sets]
    assert [row["set"] for row in again.by_image] == ["; ".join(each) for each in names]


def test_known_images_are_refused_about_as_often_as_asked_and_noise_far_more(make_cache: Make) -> None:
    cache = make_cache()
    answers = fit_and_score("zero-shot", cache=cache, shots=8, select="val", reject=0.1).answers
    noise = np.random.default_rng(1).normal(size=(200, cache["test"].images.shape[1])).astype(np.float32)
    known, unknown = (answers.rejected(rows) for rows in (cache["test"].images, noise))
    assert known is not None
    assert unknown is not None
    assert known.mean() < 0.3
    assert unknown.mean() > known.mean() + 0.3


def test_nothing_is_saved_where_nothing_was_asked_for(make_cache: Make, tmp_path: Path) -> None:
    report = fit("zero-shot", cache=make_cache(), shots=2, root=str(tmp_path))
    assert report.answers is None
    assert not (Path(report.run) / ANSWERS).exists()
    head = load(report.run)
    assert read_answers(Path(report.run) / ANSWERS, head.config).rejected(np.ones((1, 4), np.float32)) is None


@pytest.mark.parametrize("asked", [{"reject": 2.0}, {"reject": 0.0}, {"coverage": 1.0}, {"coverage": -0.5}])
def test_what_is_no_share_is_refused_before_the_work(make_cache: Make, asked: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=f"--{next(iter(asked))} .* given; expected a share between 0 and 1"):
        fit_and_score("zero-shot", cache=make_cache(), shots=2, **asked)


def test_one_shot_leaves_nothing_to_learn_from_but_a_validation_split_does(make_cache: Make) -> None:
    with pytest.raises(AdapterError, match="one shot a class leaves no image"):
        fit_and_score("zero-shot", cache=make_cache(), shots=1, reject=0.1)
    report = fit_and_score("zero-shot", cache=make_cache(), shots=1, reject=0.1, select="val").report
    assert report.answers is not None


def test_too_few_images_are_said(make_cache: Make) -> None:
    answers = fit_and_score("zero-shot", cache=make_cache(), shots=2, reject=0.05).answers
    assert "nothing is refused: --reject 0.05 needs 19 of them" in answers.note
    assert answers.threshold == -np.inf


@pytest.mark.parametrize("damage", [b"", None, "other"])
def test_damaged_answers_are_one_line(make_cache: Make, tmp_path: Path, damage: bytes | str | None) -> None:
    report = fit("zero-shot", cache=make_cache(), shots=4, root=str(tmp_path), reject=0.1)
    file = Path(report.run) / ANSWERS
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage if isinstance(damage, bytes) else file.read_bytes()[:-1] + b"\x00")
    with pytest.raises(RunError, match=r"answers\.safetensors.*fit again"):
        evaluate(report.run, cache=make_cache())


def test_every_regime_either_learns_from_its_rows_or_from_the_shots(make_cache: Make) -> None:
    cache = make_cache()
    for name, regime in REGIMES.items():
        answers = fit_and_score("zero-shot", cache=cache, shots=4, select=name, coverage=0.9).answers
        assert isinstance(answers, Answers)
        assert (
            regime.looks_at if regime.rows else "shots (left out in turn, so that what was asked is met about)"
        ) in answers.note


def test_thresholds_of_the_shots_are_those_of_heads_that_have_not_seen_them(make_cache: Make) -> None:
    asked = {"reject": 0.3, "coverage": 0.7, "calibrate": True, "params": {"epochs": 20}}
    fitted = fit_and_score("clip", cache=make_cache(), shots=4, select="support", **asked)
    head, support, text = fitted.head, fitted.task.support, text_weights(fitted.task.text)
    assert head.temperature_ != 1
    own, alike = [], []
    for out in range(4):  # the shot of each class that is left out
        kept = np.array([row for row in range(16) if (support.labels[:row] == support.labels[row]).sum() != out])
        rest = np.setdiff1d(np.arange(16), kept)
        other = clone(head).fit(support.images[kept], support.labels[kept], text=fitted.task.text)
        p = softmax(other.decision_function(support.images[rest]) / head.temperature_)
        own += set_scores(p)[np.arange(4), support.labels[rest]].tolist()
        like = Likeness.of(support.images[kept], support.labels[kept], text)
        alike += like.scores(support.images[rest]).tolist()
    assert fitted.answers.threshold == pytest.approx(sorted(alike)[5 - 1], abs=1e-6)  # 0.3 * 17 is a little more than 5
    assert fitted.answers.thresholds == pytest.approx(np.full(4, sorted(own)[12 - 1]), abs=1e-5)  # 0.7 * 17: 11.9


def test_the_image_at_the_threshold_is_not_refused(make_cache: Make) -> None:
    cache = make_cache()
    images = cache["train"].images[:9]
    like = Likeness.of(images, cache["train"].labels[:9], cache.text.weights())
    scores = like.scores(images)
    refused = Answers(reject=0.5, likeness=like, threshold=float(np.sort(scores)[4])).rejected(images)
    assert refused is not None
    assert refused.sum() == 4
