"""What every protocol does with a recipe."""

from __future__ import annotations

from adapters.bench.protocols.few_shot import few_shot
from adapters.bench.protocols.incremental import incremental
from adapters.selection.regimes import REGIMES
from adapters.tasks.task import Task
from tests.adapters.bench.recorders import recipe


def test_calibration_follows_every_fit(task: Task) -> None:
    plain = few_shot(recipe("zero-shot", regime=REGIMES["val"]), task, 1)[0]
    part = few_shot(recipe("zero-shot", regime=REGIMES["val"], calibrate=True), task, 1)[0]
    assert part.temperature != 1.0
    assert part.ece_uncalibrated == plain.ece != part.ece
    assert part.accuracy == plain.accuracy
    (note,) = few_shot(recipe("bound", calibrate=True), task, 1)[0].notes
    assert "--select none" in note
    last = incremental(recipe("continuing", regime=REGIMES["support"], calibrate=True, tasks=2), task, 1)[-1]
    assert "not calibrated" in last.notes[-1]
    assert (
        incremental(recipe("continuing", regime=REGIMES["val"], calibrate=True, tasks=2), task, 1)[-1].temperature
        != 1.0
    )
