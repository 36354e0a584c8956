"""A split image by image, against a brute-force look at every image."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from adapters.errors import AdapterError, RunError
from adapters.fitting.fit import fit
from adapters.methods import load
from adapters.runs.evaluate import evaluate
from adapters.runs.folder import INDICES
from adapters.runs.image_rows import COLUMNS, check_images_file, nearest_shots, write_image_rows
from adapters.runs.opened import shots_of
from adapters.tasks.split_rows import read_rows, read_split
from featcache.show.spreadsheet import BYTE_ORDER_MARK

Make = Callable[..., Any]


@pytest.mark.parametrize("split", ["test", "train"])
def test_every_image_is_told_as_the_head_sees_it(make_cache: Make, tmp_path: Path, split: str) -> None:
    cache = make_cache()
    report = fit("clip", cache=cache, shots=2, root=str(tmp_path), calibrate=True)
    rows = evaluate(report.run, cache=cache, split=split, by_image=True).by_image
    assert rows is not None
    head, part, names = load(report.run), cache[split], cache.class_names
    support = shots_of(Path(report.run), cache)
    kept = np.flatnonzero(part.labelled)
    assert [row["id"] for row in rows] == part.ids[kept].tolist()
    p = head.predict_proba(part.images[kept])
    for row, number, own in zip(rows, kept, p, strict=True):
        order = np.argsort(-own, kind="stable")
        assert (row["split"], row["label"], row["predicted"]) == (split, names[part.labels[number]], names[order[0]])
        told = [row["probability"], row["label_probability"], row["margin"]]
        np.testing.assert_allclose(
            told, [own[order[0]], own[part.labels[number]], own[order[0]] - own[order[1]]], atol=1e-6
        )
        image = part.images[number]
        others = [j for j in range(len(support)) if split != "train" or support.rows[j] != number]
        cosines = [image @ support.images[j] / np.linalg.norm(support.images[j]) for j in others]
        assert row["nearest"] == support.ids[others[int(np.argmax(cosines))]]


def test_the_nearest_shots_are_the_same_whatever_is_in_memory_at_once(
    make_cache: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make_cache()
    rows = read_split(cache, "train")
    support = read_rows(cache["train"], rows.rows[5:9], with_views=False)
    whole = nearest_shots(rows, support, same_split=True)
    monkeypatch.setattr("adapters.runs.image_rows.COSINES", 4 * 7)
    np.testing.assert_array_equal(nearest_shots(rows, support, same_split=True), whole)
    assert (support.rows[whole[5:9, 0]] != rows.rows[5:9]).all()


def test_both_kinds_of_file_hold_the_rows(tmp_path: Path) -> None:
    row: dict[str, Any] = dict(
        zip(COLUMNS, ["=a.png", "test", "-x", "@y", 0.5, 0.25, 0.25, "@y; -x", True, None], strict=True)
    )
    for suffix in (".csv", ".parquet"):
        check_images_file(tmp_path / f"rows{suffix}")
        write_image_rows(tmp_path / f"rows{suffix}", [row])
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == [row]
    text = (tmp_path / "rows.csv").read_text(encoding="utf-8")
    assert text.startswith(BYTE_ORDER_MARK)
    (cells,) = csv.DictReader(text.removeprefix(BYTE_ORDER_MARK).splitlines())
    assert cells["id"] == "'=a.png"
    assert cells["nearest"] == ""


@pytest.mark.parametrize("name", ["rows.txt", "rows"])
def test_a_file_of_another_kind_is_refused_before_the_work(tmp_path: Path, name: str) -> None:
    with pytest.raises(AdapterError, match="--images"):
        check_images_file(tmp_path / name)


def test_a_changed_digit_names_no_other_shot(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    report = fit("zero-shot", cache=cache, shots=2, root=str(tmp_path))
    path = Path(report.run) / INDICES
    content = json.loads(path.read_text())
    content["train"]["indices"][0] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"indices\.json does not name rows"):
        shots_of(Path(report.run), cache)


@pytest.mark.parametrize("content", ["", "{}", '{"train": {"indices": [100000]}}', '{"train": {"indices": "x"}}'])
def test_a_run_that_does_not_name_its_shots(make_cache: Make, tmp_path: Path, content: str) -> None:
    cache = make_cache()
    report = fit("zero-shot", cache=cache, shots=2, root=str(tmp_path))
    (Path(report.run) / INDICES).write_text(content)
    with pytest.raises(RunError, match=r"indices\.json does not name rows"):
        evaluate(report.run, cache=cache, by_image=True)
