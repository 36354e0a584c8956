"""Whatever stands in a config or a report, a run is what was saved or one error line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adapters
from adapters import ClipAdapter, Head, TipAdapter, ZeroShot
from adapters.errors import RunError
from adapters.runs.catalogue import read_run
from featcache.errors import FeatcacheError
from featcache.records import MOST_LEVELS, SEAL, sealed, unsealed
from tests.adapters.reports import REPORT

RNG = np.random.default_rng(0)
X, Y, TEXT = RNG.standard_normal((12, 16)), np.arange(12) % 3, RNG.standard_normal((3, 16))
NESTED: Any = json.loads("[" * (MOST_LEVELS + 1) + "]" * (MOST_LEVELS + 1))
ODD = (None, True, -1, 10**400, 1e300, "x", "\u202e\x1b[2J", [], [1], [None], {}, {"a": 1}, NESTED)
EXTRA = {
    "class_names": list("abc"),
    "encoder": dict.fromkeys(("architecture", "pretrained", "precision", "weights_sha256", "transform_sha256"), "x"),
    "cache": {"name": "shapes", "digest": "d", "batch_size": 8, "dtype": "float16"},
    "dataset": "shapes",
}


def with_one_changed(content: Any) -> Iterator[Any]:
    """The same JSON with each value in turn left out or replaced by something odd."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(pairs):
        if isinstance(content, dict):
            yield {name: kept for name, kept in content.items() if name != key}
        for other in (*ODD, *with_one_changed(value)):
            changed = content.copy()
            changed[key] = other
            yield changed


@pytest.mark.parametrize("head", [ZeroShot(), TipAdapter(), ClipAdapter(epochs=1)], ids=["zero-shot", "tip", "clip"])
def test_a_config_with_an_odd_value_gives_the_same_head_or_a_line(head: Head, tmp_path: Path) -> None:
    folder = head.fit(X, Y, text=TEXT).save(tmp_path / "run", **EXTRA)
    config = unsealed(json.loads((folder / "config.json").read_text()))
    told = 0
    for changed in with_one_changed(config):
        for content in (changed, sealed(changed)):  # as an older version wrote it, and as one with a mistake would
            (folder / "config.json").write_text(json.dumps(content))
            with np.errstate(all="ignore"):
                line = _told(folder)
            assert line is None or "\n" not in line
            told += line is not None
    assert told > 500


def _told(folder: Path) -> str | None:
    """What is said of a head instead of predicting with it; None where it predicts."""
    try:
        loaded = adapters.load(folder)
        loaded.predict(X)
        loaded.predict_proba(X)
    except FeatcacheError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("classes", [0, {}, 2], r"config\.json is damaged: classes\[1\]: expected .*, got object"),
        ("params", None, r"config\.json is damaged: params: expected object, got null"),
        ("temperature", 10**400, r"config\.json is damaged: temperature: number out of range"),
        ("weights_sha256", 5, r"config\.json is damaged: weights_sha256: expected str, got int"),
        ("class_names", [1], r"config\.json is damaged: class_names\[0\]: expected str, got int"),
        ("params", {"alpha": 10**400}, "does not take its saved parameters"),
        ("params", {"x": NESTED}, f"more than {MOST_LEVELS} levels"),
        ("arrays", {"text_": [3, 17]}, "not of the shapes"),
    ],
)
def test_the_line_names_the_file_the_field_and_what_was_expected(
    field: str, value: Any, says: str, tmp_path: Path
) -> None:
    folder = TipAdapter().fit(X, Y, text=TEXT).save(tmp_path / "run", **EXTRA)
    config = unsealed(json.loads((folder / "config.json").read_text()))
    (folder / "config.json").write_text(json.dumps({**config, field: value}))
    with pytest.raises(RunError, match=says):
        adapters.load(folder)


def test_a_changed_character_of_a_config_is_told_and_an_older_config_has_no_seal(tmp_path: Path) -> None:
    folder = ZeroShot(logit_scale=20.0).fit(X, Y, text=TEXT).save(tmp_path / "run")
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace("20.0", "90.0"))
    with pytest.raises(RunError, match=r"config\.json is damaged: it is not what was written"):
        adapters.load(folder)
    assert SEAL in json.loads(text)
    (folder / "config.json").write_text(json.dumps(unsealed(json.loads(text))))
    assert adapters.load(folder).get_params()["logit_scale"] == 20.0


def test_a_report_with_an_odd_value_is_read_or_told(tmp_path: Path) -> None:
    told = 0
    for number, changed in enumerate(with_one_changed(REPORT.to_json())):
        (tmp_path / "metrics.json").write_text(json.dumps(changed))
        run = read_run(tmp_path)
        told += run.report is None
        assert (run.report is None) == (run.problem is not None), number
        assert "\n" not in (run.problem or "")
    assert told > 200


def test_a_report_that_was_changed_is_told(tmp_path: Path) -> None:
    text = json.dumps(sealed(REPORT.to_json()))
    (tmp_path / "metrics.json").write_text(text)
    assert read_run(tmp_path).report is not None
    (tmp_path / "metrics.json").write_text(text.replace("0.7549", "0.9549", 1))
    assert read_run(tmp_path).problem == "metrics.json is damaged: it is not what was written"
    shutil.rmtree(tmp_path)
