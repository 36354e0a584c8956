"""What was planted is found: wrong labels, twins, leaks, names that say nothing, outliers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adapters
from adapters.arrays import unit
from adapters.auditing.audit import audit
from adapters.auditing.pool import Pool
from adapters.auditing.twins import find_pairs
from adapters.commands.audit import audit_page
from adapters.errors import TaskError
from adapters.fitting.fit import fit
from tests.adapters.conftest import FakeCache, FakeText

Make = Callable[..., FakeCache]


@pytest.fixture
def cache(make_cache: Make) -> FakeCache:
    return make_cache(30, noise=0.4)


def test_wrong_labels_are_found_with_the_right_ones(cache: FakeCache) -> None:
    planted = {}
    for split, row in (("train", 3), ("train", 50), ("val", 7), ("test", 11), ("test", 90)):
        part = cache[split]
        planted[str(part.ids[row])] = cache.class_names[part.labels[row]]
        part.labels[row] = (part.labels[row] + 1) % 4
    found = adapters.audit(cache)
    assert {suspect.image.id: suspect.suggested for suspect in found.mislabelled} == planted
    scores = [suspect.score for suspect in found.mislabelled]
    assert scores == sorted(scores, reverse=True)
    assert found.share_wrong == pytest.approx(5 / 360, abs=0.01)


def test_of_clean_data_nothing_is_told(cache: FakeCache) -> None:
    found = audit(cache)
    assert not found.mislabelled
    assert not found.duplicates
    assert not found.leaks.images
    assert not found.outliers
    assert not found.near_names


def test_twins_within_and_across_splits(cache: FakeCache) -> None:
    train, val, test = (cache[split].all_images for split in ("train", "val", "test"))
    train[1] = train[0]  # within
    test[5] = val[9]  # a leak, identical
    nearly = train[4] * 2 + 1e-3
    test[6] = nearly  # a leak, nearly identical, whatever its length
    found = audit(cache)
    groups = {tuple(sorted(image[::2] for image in twins.images)): twins for twins in found.duplicates}
    assert set(groups) == {
        (("train", 0), ("train", 1)),
        (("test", 5), ("val", 9)),
        (("test", 6), ("train", 4)),
    }
    assert [twins.identical for twins in found.duplicates] == [True, True, False]
    assert groups[("test", 6), ("train", 4)].cosine > (found.twin_cosine or 1)
    assert [image.row for image in found.leaks.images] == [5, 6]
    assert found.leaks.share == 2 / 120
    right = np.asarray(cache.text.weights() @ test.T).argmax(0) == cache["test"].labels
    assert found.leaks.accuracy_with == pytest.approx(right.mean())
    assert found.leaks.accuracy_without == pytest.approx(np.delete(right, [5, 6]).mean())
    assert found.leaks.by == "zero-shot (plain)"


def test_equal_files_are_identical_whatever_their_embeddings(cache: FakeCache) -> None:
    rng = np.random.default_rng(0)
    for split in cache.splits:
        cache[split].content = rng.integers(0, 256, (120, 16)).astype(np.uint8)
    test, train = cache["test"].content, cache["train"].content
    assert test is not None
    assert train is not None
    test[2] = train[8]
    train[20:22] = 0  # of unreadable files nothing is known
    found = audit(cache)
    (twins,) = found.duplicates
    assert [image[::2] for image in twins.images] == [("train", 8), ("test", 2)]
    assert twins.identical
    assert [image.row for image in found.leaks.images] == [2]


def test_an_identical_copy_of_a_near_twin_is_a_leak_too(cache: FakeCache) -> None:
    test = cache["test"].all_images
    test[0] = cache["train"].all_images[0] + 1e-3
    test[1] = test[0]
    assert [image.row for image in audit(cache).leaks.images] == [0, 1]


def test_the_accuracy_of_a_run_without_leaks(cache: FakeCache, tmp_path: Path) -> None:
    cache["test"].all_images[0] = cache["train"].all_images[0]
    saved = fit("tip", cache=cache, shots=4, out=tmp_path / "run")
    found = audit(cache, run=saved.run)
    assert found.leaks.by == "run"
    assert found.leaks.accuracy_with == saved.accuracy["test"]
    right = adapters.load(saved.run).predict(cache["test"].images) == cache["test"].labels
    assert found.leaks.accuracy_without == pytest.approx(right[1:].mean())


def test_names_that_say_nothing_and_prompts_that_would(cache: FakeCache) -> None:
    centres = np.stack([cache["train"].images[cache["train"].labels == c].mean(0) for c in range(4)])
    poor = centres.copy()
    poor[2] = poor[1] * 1.5  # class 2 is told from class 1 by nothing
    poor[3] = -centres[3]
    cache.texts = {
        "poor": FakeText(poor, cache.class_names, "poor"),
        "good": FakeText(centres, cache.class_names, "good"),
    }
    found = audit(cache)
    assert {each.name: (each.prompts, each.images) for each in found.never_found}["sea"] == ("good", 90)
    (near,) = [each for each in found.near_names if {each.one, each.other} == {"forest", "river"}]
    assert near.cosine == pytest.approx(1, abs=1e-5)
    assert near.prompts == "good"
    assert near.best is not None
    assert near.accuracy is not None
    assert near.best > 0.9 > near.accuracy
    assert {each.name: each.zero_shot_recall for each in found.classes}["sea"] == 0
    for split in cache.splits:
        cache[split].valid[np.flatnonzero(cache[split].labels == 3)[2 if split == "test" else 1 :]] = False
    assert "sea" not in {each.name for each in audit(cache).never_found}  # of four images nothing is said


def test_outliers_unreadable_and_small_classes(cache: FakeCache) -> None:
    rng = np.random.default_rng(1)
    cache["val"].all_images[4] = 100 * rng.normal(size=16)
    cache["train"].all_images[9] = np.nan
    cache["train"].valid[9] = False
    sea = np.flatnonzero(cache["test"].labels == 3)[4:]
    cache["test"].valid[sea] = False
    found = audit(cache)
    assert found.outliers[0].image[::2] == ("val", 4)
    assert found.outliers[0].score > 1
    assert [image[::2] for image in found.unreadable][:1] == [("train", 9)]
    assert len(found.unreadable) == 1 + len(sea)
    assert [each.name for each in found.small_classes] == ["sea"]
    assert found.images == 360 - 1 - len(sea)


def test_images_without_a_label_are_looked_at_but_for_labels(cache: FakeCache) -> None:
    cache["train"].labels[:100] = -1
    cache["test"].all_images[3] = cache["train"].all_images[0]
    found = audit(cache)
    assert found.labelled == 260
    assert [image.row for image in found.leaks.images] == [3]
    assert found.to_json()["duplicates"][0]["labels"][0] is None
    for split in cache.splits:
        cache[split].labels[:] = -1
    nothing = audit(cache)
    assert (nothing.labelled, nothing.share_wrong, nothing.leaks.accuracy_with) == (0, None, None)
    assert [image.row for image in nothing.leaks.images] == [3]
    assert audit_page(nothing).lines()


def test_a_cache_without_a_readable_image(cache: FakeCache) -> None:
    for split in cache.splits:
        cache[split].valid[:] = False
    with pytest.raises(TaskError, match="no image of cache shapes-tiny can be read"):
        audit(cache)


def test_the_csv_changes_nothing_until_it_is_edited_and_then_mends(cache: FakeCache, tmp_path: Path) -> None:
    train = cache["train"]
    train.ids[0] = "=cmd.jpg"  # defused, and read back
    own = cache.class_names[train.labels[0]]
    train.labels[0] = (train.labels[0] + 1) % 4
    found, file = audit(cache), tmp_path / "found.csv"
    found.to_csv(file)
    with file.open(encoding="utf-8-sig", newline="") as stream:
        (line,) = csv.DictReader(stream)
    assert (line["id"], line["suggested"], line["found"], line["split"]) == ("'=cmd.jpg", own, "mislabelled", "train")
    assert (cache.relabelled(file)["train"].labels == train.labels).all()
    file.write_text(file.read_text(encoding="utf-8").replace(f",{line['label']},", f",{own},", 1), encoding="utf-8")
    assert not audit(cache.relabelled(file)).mislabelled


def test_an_image_left_out_is_not_told_again(cache: FakeCache, tmp_path: Path) -> None:
    cache["test"].all_images[3] = cache["train"].all_images[0]
    file = tmp_path / "labels.csv"
    file.write_text(f"id,label\n{cache['test'].ids[3]},\n")
    found = audit(cache.relabelled(file))
    assert not found.duplicates
    assert found.images == 359
    assert found.to_json()["labels"]["digest"]


def test_the_page_and_the_object(cache: FakeCache) -> None:
    same = int(np.flatnonzero(cache["test"].labels == cache["train"].labels[0])[0])
    cache["test"].all_images[same] = cache["train"].all_images[0]
    for row in range(8):
        cache["val"].labels[row] = (cache["val"].labels[row] + 2) % 4
    found = audit(cache)
    text = "\n".join(audit_page(found).lines())
    assert "8 of 360 labels are more likely wrong than right" in text
    assert "Likely mislabelled: the first 5 of 8" in text
    assert "1 test images (0.83 %) have a twin in train or val; accuracy of zero-shot (plain)" in text
    content: dict[str, Any] = json.loads(json.dumps(found.to_json()))
    assert {"split", "id", "label", "suggested", "score"} <= set(content["mislabelled"][0])
    assert {"ids", "splits", "cosine", "identical"} <= set(content["duplicates"][0])
    assert {"rows", "share", "accuracy_with", "accuracy_without"} <= set(content["leaks"])
    assert {"name", "counts", "zero_shot_recall"} <= set(content["classes"][0])


def test_few_of_images_drawn_independently_pass_for_twins() -> None:
    rng = np.random.default_rng(4)
    features = unit(rng.normal(size=(3000, 64)).astype(np.float32))
    rows = np.arange(3000)
    labels = np.zeros(3000, np.int64)
    pairs = find_pairs(Pool(features, labels, ("test",), labels, rows.astype(str), rows, None, ()))
    assert len({*pairs.one.tolist(), *pairs.other.tolist()}) <= 0.015 * 3000
