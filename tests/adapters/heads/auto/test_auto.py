"""A mixture of heads that needs no choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adapters
from adapters.heads.auto import candidates
from adapters.heads.auto.auto import Auto
from adapters.heads.zero_shot import ZeroShot
from adapters.metrics import softmax

Make = Callable[..., Any]


def fitted(cache: Any, shots: int = 4, **options: Any) -> tuple[Any, Any]:
    task = adapters.Task.sample(cache, shots=shots, seed=1)
    head = Auto(logit_scale=20.0, device="cpu", **options)
    return head.fit(task.support.inputs, task.support.labels, text=task.text), task


@pytest.mark.parametrize("shots", [1, 4])
def test_probabilities_are_the_weighted_mean_of_calibrated_ones(make_cache: Make, shots: int) -> None:
    head, task = fitted(make_cache(), shots)
    weights = [part.weight for part in head.parts_]
    assert sum(weights) == pytest.approx(1)
    assert weights == sorted(weights, reverse=True)
    mixed = sum(
        part.weight * softmax(part.head.decision_function(task.test.images) / part.temperature) for part in head.parts_
    )
    powered = mixed ** (1 / head.pool_temperature_)
    expected = powered / powered.sum(1, keepdims=True)
    np.testing.assert_allclose(head.predict_proba(task.test.images), expected, atol=1e-5)


def test_one_folder_gives_the_same_head(make_cache: Make, tmp_path: Path) -> None:
    head, task = fitted(make_cache())
    head.save(tmp_path)
    loaded = adapters.load(tmp_path, device="cpu")
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    assert np.array_equal(loaded.decision_function(task.test.images), head.decision_function(task.test.images))
    assert loaded.explanation() == head.explanation()
    assert loaded.parameters_ == head.parameters_


def test_test_labels_change_nothing(make_cache: Make) -> None:
    cache, shuffled = make_cache(), make_cache()
    test = shuffled.parts["test"]
    test.labels = np.random.default_rng(0).permutation(test.labels)
    one, other = (adapters.fit("auto", each, shots=3, device="cpu") for each in (cache, shuffled))
    assert np.array_equal(one.decision_function(test.images), other.decision_function(test.images))
    assert one.explanation() == other.explanation()
    assert one.report_.accuracy["test"] != other.report_.accuracy["test"]


def test_no_candidate_is_judged_on_what_it_learned(make_cache: Make) -> None:
    """With labels that mean nothing, nothing can be right on held-out shots more often than chance."""
    task = adapters.Task.sample(make_cache(), shots=8, seed=1)
    labels = np.random.default_rng(3).permutation(task.support.labels)
    noise = np.random.default_rng(4).normal(size=(32, 16)).astype(np.float32)
    head = Auto(device="cpu").fit(noise, labels, text=task.text)
    assert all(part.accuracy < 0.6 for part in head.parts_)


def test_with_shots_to_hold_out_it_is_not_far_behind_its_best_candidate(make_cache: Make) -> None:
    head, task = fitted(make_cache(60), 8)
    singles = [part.head.score(task.test.images, task.test.labels) for part in head.parts_]
    assert head.score(task.test.images, task.test.labels) >= max(singles) - 0.04


def test_other_classes_are_scored_by_their_text(make_cache: Make) -> None:
    head, task = fitted(make_cache())
    other = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    logits = head.for_classes(other).decision_function(task.test.images)
    assert logits.shape == (48, 3)
    alone = ZeroShot().fit(other, range(3), text=other).predict(task.test.images)
    assert (logits.argmax(1) == alone).mean() > 0.7


def test_shrinkage_pulls_to_the_prior(make_cache: Make) -> None:
    free, _ = fitted(make_cache(), shrinkage=0)
    held, _ = fitted(make_cache(), shrinkage=100)
    assert max(part.weight for part in free.parts_) > max(part.weight for part in held.parts_)
    assert "100% prior" in held.why_


def test_one_shot_has_nothing_held_out(make_cache: Make) -> None:
    head, _ = fitted(make_cache(), 1)
    assert all(part.nll is None for part in head.parts_)
    names = [part.name for part in head.parts_]
    assert len(names) == len(set(names))
    assert not any("chosen" in name for name in names)
    assert "with one shot a class nothing was held out" in head.why_


def test_a_large_problem_is_given_what_is_cheap(make_cache: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "LARGE", 10)
    head, task = fitted(make_cache())
    assert {part.head.method for part in head.parts_} <= {"zero-shot", "proker", "gda", "timo"}
    assert head.score(task.test.images, task.test.labels) > 0.5
