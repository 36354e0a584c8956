from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.errors import TaskError
from adapters.tasks import split_rows
from adapters.tasks.task import Task, read_split

Make = Callable[..., Any]


def index_file(folder: Path, cache: Any, train: list[int], val: list[int] | None = None) -> Path:
    def part(split: str, rows: list[int]) -> dict[str, Any]:
        ids, labels = cache[split].ids, cache[split].labels
        data = [{"impath": f"./data/{ids[row]}", "label": int(labels[row]), "classname": ""} for row in rows]
        return {"data": data, "indices": rows}

    content = {"train": part("train", train)} | ({"val": part("val", val)} if val is not None else {})
    path = folder / "shot_2-seed_1.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def rows_of(cache: Any, split: str, per_class: int) -> list[int]:
    labels = cache[split].labels
    return [int(row) for c in range(4) for row in np.flatnonzero(labels == c)[-per_class:]]


def test_support_is_grouped_by_class_and_every_array_follows_the_same_rows(make_cache: Make) -> None:
    cache = make_cache(views=3)
    support = Task.sample(cache, shots=3, seed=2).support
    train = cache["train"]
    assert support.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    np.testing.assert_array_equal(support.images, train.all_images[support.rows])
    np.testing.assert_array_equal(support.views, train.all_views[support.rows])
    np.testing.assert_array_equal(support.ids, train.ids[support.rows])
    assert support.inputs is support.views


def test_a_support_of_every_row_keeps_its_own_order(make_cache: Make) -> None:
    cache = make_cache(rows=3)
    support = Task.sample(cache, shots=3).support
    assert support.rows.tolist() != sorted(support.rows.tolist())
    np.testing.assert_array_equal(support.images, cache["train"].all_images[support.rows])


def test_only_the_supports_views_are_read(make_cache: Make) -> None:
    cache = make_cache(views=2)
    task = Task.sample(cache, shots=2)
    assert cache["train"].taken == []
    assert len(task.support) == 8
    assert sorted(cache["train"].taken) == sorted(task.support.rows.tolist())


def test_without_views_heads_learn_from_the_images(make_cache: Make) -> None:
    support = Task.sample(make_cache(), shots=1).support
    assert support.views is None
    assert support.inputs is support.images


def test_invalid_rows_are_never_given_out(make_cache: Make) -> None:
    cache = make_cache(rows=5)
    for split in cache.splits:
        cache[split].valid[::4] = False
        cache[split].all_images[::4] = np.nan
    task = Task.sample(cache, shots=5, allow_fewer=True)
    assert task.val is not None
    for rows in (task.support, task.val, task.test):
        assert np.isfinite(rows.images).all()
        assert len(rows) == 15
    assert task.test.rows.tolist() == np.flatnonzero(cache["test"].valid).tolist()


def test_a_cache_without_val_has_no_val(make_cache: Make) -> None:
    task = Task.sample(make_cache(splits=("train", "test")), shots=2)
    assert task.val is None
    assert task.val_kshot is None


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_cache_without_train_or_test_is_refused(make_cache: Make, missing: str) -> None:
    splits = tuple(split for split in ("train", "val", "test") if split != missing)
    with pytest.raises(TaskError, match=f"cache shapes-tiny has no {missing} split"):
        Task.sample(make_cache(splits=splits), shots=2)


def test_val_kshot_is_at_most_four_images_a_class(make_cache: Make) -> None:
    task = Task.sample(make_cache(rows=12), shots=8)
    assert np.bincount(task.val_kshot.labels).tolist() == [4, 4, 4, 4]  # min(K, 4), not K


def test_text_is_the_default_set_or_the_named_one(make_cache: Make) -> None:
    cache = make_cache()
    assert Task.sample(cache, shots=1).text.name == "plain"
    assert Task.sample(cache, shots=1, prompts="other").text.name == "other"


def test_an_index_file_names_support_and_val(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    train, val = rows_of(cache, "train", 2), rows_of(cache, "val", 2)
    task = Task.sample(cache, shots=2, indices=index_file(tmp_path, cache, train[::-1], val[::-1]))
    assert sorted(task.support.rows.tolist()) == sorted(train)
    assert task.support.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert sorted(task.val_kshot.rows.tolist()) == sorted(val)


def test_an_index_file_without_val_leaves_the_seeded_val_draw(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    task = Task.sample(cache, shots=2, seed=3, indices=index_file(tmp_path, cache, rows_of(cache, "train", 2)))
    assert task.val_kshot.rows.tolist() == Task.sample(cache, shots=2, seed=3).val_kshot.rows.tolist()


def test_an_index_file_of_other_shots_is_refused(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    path = index_file(tmp_path, cache, rows_of(cache, "train", 2))
    with pytest.raises(TaskError, match=r"has 2 images of class 'annual crop': type --shots 2"):
        Task.sample(cache, shots=1, indices=path)
    with pytest.raises(TaskError, match=r"'annual crop' has 2 images to draw from, expected 4"):
        Task.sample(cache, shots=4, indices=path)
    assert len(Task.sample(cache, shots=4, indices=path, allow_fewer=True).support) == 8


def test_short_classes_are_told_in_the_notes(make_cache: Make) -> None:
    cache = make_cache(rows=3)
    cache["train"].valid[cache["train"].labels == 2] = False
    assert Task.sample(make_cache(), shots=2).notes == ()
    assert Task.sample(cache, shots=2, allow_fewer=True).notes == ("fewer than 2 shots in 1 of 4 classes: 'river' 0",)


def test_the_saved_index_file_draws_the_same_task(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    task = Task.sample(cache, shots=2, seed=9)
    path = tmp_path / "indices.json"
    path.write_text(json.dumps(task.index_content(with_val=True)), encoding="utf-8")
    again = Task.sample(cache, shots=2, indices=path)
    assert again.support.rows.tolist() == task.support.rows.tolist()
    assert again.val_kshot.rows.tolist() == task.val_kshot.rows.tolist()
    assert "val" not in task.index_content()


def test_a_split_that_is_not_there_is_refused(make_cache: Make) -> None:
    with pytest.raises(TaskError, match="--split dev given; cache shapes-tiny has train, val, test"):
        read_split(make_cache(), "dev")


def test_a_split_is_gone_through_in_blocks_of_which_none_is_kept(
    make_cache: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split_rows, "BLOCK", 5)
    cache = make_cache()
    cache["test"].valid[3] = False  # the rows that are left do not all follow one another
    rows = read_split(cache, "test")
    blocks = list(rows.blocks())
    sizes = [len(block) for block in blocks]
    assert max(sizes) <= 5
    assert max(sizes) - min(sizes) <= 1  # no last block of a row or two, which BLAS would multiply otherwise
    assert np.concatenate(blocks).tobytes() == cache["test"].images[rows.rows].tobytes()
    assert not {"images", "ids"} & set(vars(rows))
    assert rows.images.tobytes() == np.concatenate(blocks).tobytes()
    assert rows.ids.tolist() == cache["test"].ids[rows.rows].tolist()


def test_the_whole_of_a_split_is_read_once_for_all_tasks(make_cache: Make) -> None:
    cache = make_cache()
    assert read_split(cache, "val").images is read_split(cache, "val").images is cache["val"].images


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_embedding_of_zeros_is_refused_by_its_row(split: str, make_cache: Callable[..., Any]) -> None:
    cache = make_cache()
    cache.parts[split].name = split
    cache.parts[split].all_images[5] = 0
    task = Task.sample(cache, shots=12, seed=1)
    with pytest.raises(TaskError, match=rf"row 5 of {split} \(.*\.jpg\) is all zeros; expected an embedding"):
        _ = task.support.images if split == "train" else task.test.images
