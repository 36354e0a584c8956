from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import adapters
from adapters import ClipAdapter, TipAdapter, ZeroShot, metrics
from adapters.abilities import ClassesFromText
from adapters.bench.protocols.classes import ClassSubset
from adapters.errors import AdapterError
from adapters.fitting.fit import fit
from adapters.runs.evaluate import evaluate
from adapters.runs.report import Report
from adapters.selection import calibration
from adapters.selection.calibration import calibrate, fit_temperature
from adapters.selection.regimes import REGIMES
from adapters.tasks.task import Task
from featcache.records import SEAL

Make = Callable[..., Any]


def noisy_logits(rows: int = 400, classes: int = 7, sharpness: float = 3.0, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes))
    labels = np.array([rng.choice(classes, p=p) for p in metrics.softmax(logits)])
    return (sharpness * logits).astype(np.float32), labels


def nll(logits: Any, labels: Any, temperature: float) -> float:
    probability = metrics.softmax(logits / temperature)
    return float(-np.log(probability[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize("sharpness", [0.01, 0.3, 3.0, 500.0])
def test_temperature_is_that_of_brute_force(sharpness: float) -> None:
    logits, labels = noisy_logits(sharpness=sharpness)
    found = fit_temperature(logits, labels)
    grid = sharpness * np.geomspace(0.2, 5, 2001)
    best = grid[np.argmin([nll(logits, labels, t) for t in grid])]
    assert found == pytest.approx(best, rel=2e-3)
    assert nll(logits, labels, found) <= nll(logits, labels, best) + 1e-12


def test_temperature_of_samples_of_the_model_itself_is_its_sharpness() -> None:
    assert fit_temperature(*noisy_logits(rows=20_000, sharpness=3.0)) == pytest.approx(3.0, rel=0.03)


def test_blocks_of_rows_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = noisy_logits()
    whole = fit_temperature(logits, labels)
    monkeypatch.setattr(calibration, "_BLOCK", 7)
    assert fit_temperature(logits, labels) == pytest.approx(whole, rel=1e-6)


def test_temperature_scales_with_the_logits_and_ignores_their_offset() -> None:
    logits, labels = noisy_logits()
    found = fit_temperature(logits, labels)
    assert fit_temperature(10 * logits, labels) == pytest.approx(10 * found, rel=1e-4)
    offsets = np.linspace(-50, 50, len(logits))[:, None]
    assert fit_temperature(logits.astype(np.float64) + offsets, labels) == pytest.approx(found, rel=1e-4)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.eye(3), [0, 1, 2]),  # all right: the sharper the better
        (-np.eye(3), [0, 1, 2]),  # worse than chance: the flatter the better
        (np.ones((4, 3)), [0, 1, 2, 0]),  # nothing said
    ],
)
def test_where_no_finite_temperature_is_best_it_stays_one(logits: Any, labels: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit_temperature(logits, labels) == 1.0


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.ones(3), [0, 1, 2], "expected logits"),
        (np.ones((3, 2)), [0, 1], "expected logits"),
        (np.ones((0, 2)), [], "expected logits"),
        (np.array([[1.0, np.nan]]), [0], "NaN or infinity"),
    ],
)
def test_odd_input_is_one_line(logits: Any, labels: Any, message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        fit_temperature(logits, labels)


@pytest.mark.parametrize(("rows", "classes"), [(400, 7), (1000, 2), (60, 30)])
def test_ece_is_that_of_torchmetrics(rows: int, classes: int) -> None:
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, labels = noisy_logits(rows=rows, classes=classes)
    for temperature in (0.3, 1.0, 4.0):
        probability = torch.from_numpy(metrics.softmax(logits / temperature))
        theirs = multiclass_calibration_error(
            probability, torch.from_numpy(labels), num_classes=classes, n_bins=15, norm="l1"
        )
        assert metrics.ece(logits / temperature, labels) == pytest.approx(float(theirs), abs=1e-6)


def test_calibration_lowers_ece_of_an_overconfident_head() -> None:
    logits, labels = noisy_logits(rows=4000, sharpness=6.0)
    found = fit_temperature(logits[:2000], labels[:2000])
    before, after = metrics.ece(logits[2000:], labels[2000:]), metrics.ece(logits[2000:] / found, labels[2000:])
    assert after < 0.2 * before


@pytest.mark.parametrize("regime", ["val", "val-kshot", "oracle"])
def test_a_regime_gives_its_held_out_rows(make_cache: Make, regime: Any) -> None:
    task = Task.sample(make_cache(noise=1.6), shots=4)
    head = TipAdapter(logit_scale=20.0).fit(task.support.images, task.support.labels, text=task.text)
    before = head.predict(task.test.images)
    assert calibrate(head, task, REGIMES[regime]) == ""
    images, labels = REGIMES[regime].held_out(task)  # type: ignore[misc]
    assert head.temperature_ == fit_temperature(head.decision_function(images), labels) != 1.0
    np.testing.assert_array_equal(head.predict(task.test.images), before)
    expected = metrics.softmax(head.decision_function(task.test.images) / head.temperature_)
    np.testing.assert_allclose(head.predict_proba(task.test.images), expected, atol=1e-6)


def test_support_gives_logits_of_shots_left_out(make_cache: Make) -> None:
    task = Task.sample(make_cache(noise=1.6), shots=4)
    support = task.support
    head = TipAdapter(logit_scale=20.0).fit(support.images, support.labels, text=task.text)
    assert calibrate(head, task, REGIMES["support"]) == ""
    logits, labels = [], []
    for shot in range(4):  # the support is grouped by class: row i is shot i mod 4
        out = np.arange(16) % 4 == shot
        other = TipAdapter(logit_scale=20.0).fit(support.images[~out], support.labels[~out], text=task.text)
        logits.append(other.decision_function(support.images[out]))
        labels.append(support.labels[out])
    assert head.temperature_ == fit_temperature(np.concatenate(logits), np.concatenate(labels)) != 1.0


def test_where_nothing_is_allowed_nothing_is_fitted(make_cache: Make) -> None:
    task = Task.sample(make_cache(), shots=1)
    head = ZeroShot().fit(task.support.images, task.support.labels, text=task.text)
    head.temperature_ = 3.0
    assert "--select none" in calibrate(head, task, REGIMES["none"])
    assert head.temperature_ == 1.0
    assert "one shot" in calibrate(head, task, REGIMES["support"])
    assert head.temperature_ == 1.0


def test_a_refit_forgets_the_temperature(make_cache: Make) -> None:
    task = Task.sample(make_cache(noise=1.6), shots=4)
    head = ZeroShot().fit(task.support.images, task.support.labels, text=task.text)
    calibrate(head, task, REGIMES["val"])
    assert head.temperature_ != 1.0
    assert head.fit(task.support.images, task.support.labels, text=task.text).temperature_ == 1.0


def test_the_temperature_is_saved_reported_and_reproduced(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache(noise=1.6)
    plain = fit("tip", cache=cache, shots=4, select="val", out=tmp_path / "plain")
    report = fit("tip", cache=cache, shots=4, select="val", calibrate=True, out=tmp_path / "run")
    assert plain.temperature == 1.0
    assert report.temperature != 1.0
    assert report.accuracy == plain.accuracy
    assert report.ece["test"] != plain.ece["test"]
    head = adapters.load(tmp_path / "run")
    assert head.temperature_ == report.temperature
    test = cache["test"]
    assert report.ece["test"] == metrics.ece(head.decision_function(test.images) / report.temperature, test.labels)
    again = evaluate(tmp_path / "run", cache=cache)
    assert (again.ece, again.reproduced) == (report.ece["test"], True)


def test_calibrated_and_plain_runs_take_different_folders(make_cache: Make, tmp_path: Path) -> None:
    cache, root = make_cache(), str(tmp_path)
    assert (
        fit("tip", cache=cache, shots=2, root=root).run
        != fit("tip", cache=cache, shots=2, root=root, calibrate=True).run
    )
    assert "not calibrated" in fit("tip", cache=cache, shots=2, select="none", root=root, calibrate=True).note


def test_what_was_saved_before_calibration_is_still_read(make_cache: Make, tmp_path: Path) -> None:
    report = fit("tip", cache=make_cache(), shots=2, out=tmp_path / "run")
    for name, read in (("config.json", None), ("metrics.json", Report.from_json)):
        content = json.loads((tmp_path / "run" / name).read_text())
        del content["temperature"], content[SEAL]
        (tmp_path / "run" / name).write_text(json.dumps(content))
        if read is not None:
            assert read(content) == report
    assert adapters.load(tmp_path / "run").temperature_ == 1.0


@pytest.mark.parametrize("head", [ZeroShot(), ClipAdapter(epochs=3), ClipAdapter(epochs=3, text_alpha=0.3)])
def test_a_head_that_is_not_bound_to_its_classes_scores_others(make_cache: Make, head: Any) -> None:
    task = Task.sample(make_cache(), shots=2)
    base, new = ClassSubset(task, np.array([0, 1])), ClassSubset(task, np.array([3, 2, 1]))
    head.fit(base.support.images, base.support.labels, text=base.text)
    before = head.decision_function(base.test.images)
    other = head.for_classes(new.text)
    assert other.decision_function(new.test.images).shape == (len(new.test), 3)
    assert other.classes_.tolist() == [0, 1, 2]
    # A class that both know gets the same logit from both, and the first head is as it was.
    np.testing.assert_allclose(
        other.decision_function(base.test.images)[:, 2], head.decision_function(base.test.images)[:, 1], atol=1e-4
    )
    np.testing.assert_array_equal(head.decision_function(base.test.images), before)
    with pytest.raises(AdapterError, match="text has 3 columns"):
        head.for_classes(np.eye(3))


def test_a_head_that_is_bound_to_its_classes_says_so(make_cache: Make) -> None:
    task = Task.sample(make_cache(), shots=2)
    head = TipAdapter().fit(task.support.images, task.support.labels, text=task.text)
    assert not isinstance(head, ClassesFromText)
