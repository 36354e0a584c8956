"""`--refit`: once all is chosen the head learns from train and val, and it is said which score is whose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adapters
from adapters.commands.fit import report_page
from adapters.errors import TaskError
from adapters.fitting.fit import fit
from adapters.runs.catalogue import read_run
from adapters.runs.evaluate import evaluate
from tests.pages import assert_all_is_told, texts

Make = Callable[..., Any]


@pytest.mark.parametrize("views", [0, 3])
def test_the_kept_head_learned_from_both(make_cache: Make, tmp_path: Path, views: int) -> None:
    cache = make_cache(views=views)
    before = fit("tip", cache=cache, shots=4, select="val", root=str(tmp_path))
    report = fit("tip", cache=cache, shots=4, select="val", refit=True, root=str(tmp_path))
    assert report.hyperparameters == before.hyperparameters
    head, train, val = adapters.load(report.run), cache["train"], cache["val"]
    assert len(head.keys_) == 16 + 48
    rows = [each["impath"] for each in json.loads((Path(report.run) / "indices.json").read_text())["train"]["data"]]
    chosen = [int(np.flatnonzero(train.ids == name)[0]) for name in rows]
    plain = [np.repeat(val.images[:, None], views, axis=1), val.images][not views]
    X = np.concatenate([train.take_views(np.array(chosen)) if views else train.images[chosen], plain])
    y = np.concatenate([train.labels[chosen], val.labels])
    params = {name: value for name, value in report.hyperparameters.items()}
    again = adapters.TipAdapter(**params).fit(X, y, text=cache.text)
    np.testing.assert_array_equal(
        head.decision_function(cache["test"].images), again.decision_function(cache["test"].images)
    )
    assert report.accuracy["test"] == head.score(cache["test"].images, cache["test"].labels)
    assert report.accuracy["val"] == before.accuracy["val"]
    assert report.refit is not None
    assert report.refit["images"] == {"train": 16, "val": 48}
    assert report.refit["test_before"] == before.accuracy["test"]
    assert Path(report.run).name != Path(before.run).name


def test_it_is_said_on_screen_in_json_and_on_the_card(make_cache: Make, tmp_path: Path) -> None:
    report = fit("gda", cache=make_cache(), shots=4, refit=True, root=str(tmp_path))
    page = report_page(report, None)
    assert_all_is_told(page)
    assert report.refit is not None
    assert report.refit["told"] in set(texts(page))
    assert "val accuracy, before the refit" in set(texts(page))
    assert "trained" in set(texts(page))
    assert "0 numbers on 64 images" in set(texts(page))
    assert report.refit["told"] in (Path(report.run) / "README.md").read_text()
    assert read_run(Path(report.run)).require_report() == report


def test_the_temperature_and_the_sets_are_those_of_the_head_before(make_cache: Make, tmp_path: Path) -> None:
    asked: dict[str, Any] = dict(cache=make_cache(), shots=4, select="val", calibrate=True, coverage=0.8)
    before = fit("gda", **asked, root=str(tmp_path))
    report = fit("gda", **asked, refit=True, root=str(tmp_path))
    assert report.temperature == before.temperature != 1.0
    assert report.answers is not None
    assert before.answers is not None
    assert report.answers["note"] == before.answers["note"]


def test_eval_does_not_call_val_reproduced(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    report = fit("tip", cache=cache, shots=4, refit=True, root=str(tmp_path))
    assert evaluate(report.run, cache=cache).reproduced is True
    assert evaluate(report.run, cache=cache, split="val").reproduced is None


def test_without_a_val_split_it_is_refused(make_cache: Make, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="--refit needs a val split with labels, which cache shapes-tiny lacks"):
        fit("tip", cache=make_cache(splits=("train", "test")), shots=4, refit=True, root=str(tmp_path))
