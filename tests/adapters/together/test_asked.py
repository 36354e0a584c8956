"""What is asked for of images together, from fit and eval to what is shown."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.commands.fit import report_page
from adapters.commands.saved.eval import evaluation_page
from adapters.errors import AdapterError, RunError
from adapters.fitting.fit import fit
from adapters.methods import load
from adapters.runs.evaluate import evaluate
from adapters.runs.image_rows import write_image_rows
from adapters.together.asked import Asked
from adapters.together.frequencies import learned_shares, shifted
from tests.pages import texts

Make = Callable[..., Any]


@pytest.mark.parametrize(("asked", "said"), [({"prior": "em"}, "prior em of "), ({"transductive": True}, "")])
def test_what_looked_at_all_images_says_so_everywhere(
    make_cache: Make, tmp_path: Path, asked: dict[str, Any], said: str
) -> None:
    cache = make_cache()
    report = fit("zero-shot", cache=cache, shots=2, root=str(tmp_path), **asked)
    assert report.together is not None
    told = f"TRANSDUCTIVE: {said}48 images together"
    assert report.together["said"] == told
    assert any(told in text for text in texts(report_page(report, str(tmp_path))))
    assert report.accuracy["test"] == fit("zero-shot", cache=cache, shots=2, root=str(tmp_path / "b")).accuracy["test"]
    again = evaluate(report.run, cache=cache, by_image=True, **asked)
    assert again.together is not None
    assert again.together["said"] == told
    assert again.scores.to_json() == report.together["scores"]
    assert again.reproduced is None
    assert any(told in text for text in texts(evaluation_page(again)))
    assert json.loads(json.dumps(again.to_json()))["together"]["images"] == 48
    assert again.by_image is not None
    for suffix in (".csv", ".parquet"):
        write_image_rows(tmp_path / f"rows{suffix}", again.by_image)
    with (tmp_path / "rows.csv").open(encoding="utf-8-sig") as file:
        assert {row["together"] for row in csv.DictReader(file)} == {told}
    alone = evaluate(report.run, cache=cache, by_image=True)
    assert alone.together is None
    assert alone.by_image is not None
    assert "together" not in alone.by_image[0]


def test_mistakes_are_seen_on_val_else_on_shots_and_never_on_what_is_answered(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    report = fit("taskres", cache=cache, shots=4, root=str(tmp_path), params={"epochs": 3}, prior="bbse")
    assert report.together is not None
    assert report.together["mistakes_on"] == "48 validation rows"
    assert sum(report.together["shares"].values()) == pytest.approx(1)
    on_val = evaluate(report.run, cache=cache, split="val", prior="bbse").together
    assert on_val is not None
    assert on_val["mistakes_on"] == "16 shots, left out in turn"
    poor = make_cache(splits=("train", "test"))
    with pytest.raises(AdapterError, match="--prior bbse learns from images .* type --prior em"):
        fit("zero-shot", cache=poor, shots=1, root=str(tmp_path / "poor"), prior="bbse")


def test_a_trained_head_goes_from_its_shots_frequencies_and_others_from_equal_ones(
    make_cache: Make, tmp_path: Path
) -> None:
    cache = make_cache()
    train = cache["train"]
    train.valid[np.flatnonzero(train.labels == 0)[2:]] = False
    for method, counts in (("linear", (2, 12, 12, 12)), ("gda", (1, 1, 1, 1))):
        run = fit(method, cache=cache, shots="all", root=str(tmp_path)).run
        found = evaluate(run, cache=cache, prior="uniform", by_image=True)
        head = load(run)
        logits = head.decision_function(cache["test"].images).astype(np.float64)
        expected = shifted(logits, np.full(4, 0.25), learned_shares(np.array(counts)))
        assert found.by_image is not None
        names = np.array(cache.class_names)
        assert [row["predicted"] for row in found.by_image] == names[expected.argmax(1)].tolist()
        assert found.together is not None
        assert found.together["said"] == "prior uniform"


def test_what_cannot_be_given_is_told(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    with pytest.raises(AdapterError, match="--prior and --transductive given, .*: give one of them"):
        Asked("em", True)
    with pytest.raises(AdapterError, match="--prior EM given; expected uniform, em, bbse or the path of a CSV file"):
        Asked("EM")
    with pytest.raises(AdapterError, match="tip does not: fit one of zero-shot, taskres, zs-lp, clap, meta"):
        fit("tip", cache=cache, shots=2, root=str(tmp_path), transductive=True)
    head = load(fit("linear", cache=cache, shots=2, root=str(tmp_path)).run)
    with pytest.raises(RunError, match="fit again for --prior"):
        Asked("em").of(head, cache.class_names, counts=None, held_out=lambda: pytest.fail("asked"))
