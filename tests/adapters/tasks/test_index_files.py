from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.errors import TaskError
from adapters.tasks.index_files import IndexEntry, index_content, indices_digest, match_rows, read_index_file

IDS = ["AnnualCrop/AnnualCrop_1.jpg", "AnnualCrop/AnnualCrop_2.jpg", "Forest/Forest_1.jpg", "River/River_1.jpg"]
LABELS = np.array([0, 0, 1, 2])


def match(*paths: str, ids: list[str] | None = None, labels: tuple[int, ...] = ()) -> list[int]:
    known = IDS if ids is None else ids
    truth = LABELS if ids is None else np.zeros(len(known), dtype=np.int64)
    wanted = labels or tuple(int(truth[known.index(p[-len(k) :])]) for p in paths for k in known if p.endswith(k))
    entries = [IndexEntry(path, label) for path, label in zip(paths, wanted or [0] * len(paths), strict=True)]
    return [int(row) for row in match_rows(entries, known, truth, source="shot_1.json", split="train")]


def write(folder: Path, content: Any) -> Path:
    path = folder / "shot_1-seed_1.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_paths_are_found_by_their_tail_in_the_files_order() -> None:
    assert match("./data/eurosat/2750/River/River_1.jpg", "./data/eurosat/2750/AnnualCrop/AnnualCrop_2.jpg") == [3, 1]


def test_backslashes_and_dots_are_no_hindrance() -> None:
    assert match(".\\data\\2750\\Forest\\Forest_1.jpg", labels=(1,)) == [2]


def test_only_whole_path_components_match() -> None:
    with pytest.raises(TaskError, match=r"OldForest/Forest_1.jpg is not in the cache's train split \(4 images\)"):
        match("./data/OldForest/Forest_1.jpg", labels=(1,))


def test_the_longest_id_wins() -> None:
    assert match("./data/x/a.jpg", ids=["a.jpg", "x/a.jpg"], labels=(0,)) == [1]


def test_a_path_shorter_than_the_id_is_found_when_unique() -> None:
    assert match("River_1.jpg", labels=(2,)) == [3]


def test_a_path_that_fits_several_ids_is_refused() -> None:
    with pytest.raises(TaskError, match=r"1.jpg matches 2 images of the train split \(cat/1.jpg, dog/1.jpg"):
        match("1.jpg", ids=["cat/1.jpg", "dog/1.jpg"], labels=(0,))


def test_a_label_that_differs_from_the_caches_is_refused() -> None:
    with pytest.raises(TaskError, match="has label 2, the cache has 1"):
        match("./d/Forest/Forest_1.jpg", labels=(2,))


def test_an_image_listed_twice_is_refused() -> None:
    with pytest.raises(TaskError, match="listed twice"):
        match("a/River/River_1.jpg", "b/River/River_1.jpg", labels=(2, 2))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"nowhere\.json cannot be read \(No such file"):
        read_index_file(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "it is not JSON"),
        ([], "it has no 'train' part"),
        ({"val": {}}, "it has no 'train' part"),
        ({"train": {"indices": [1]}}, "its 'train' part is not laid out so"),
        ({"train": {"data": [{"impath": "a.jpg"}]}}, "its 'train' part is not laid out so"),
        ({"train": {"data": []}, "val": 3}, "its 'val' part is not laid out so"),
    ],
)
def test_a_file_of_another_layout_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        read_index_file(write(tmp_path, content))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    rows = np.array([1, 3])
    content = index_content({"train": (np.array(IDS)[rows], LABELS[rows], rows)}, ("Crop", "Forest", "River"))
    assert content["train"]["data"][1] == {"impath": "River/River_1.jpg", "label": 2, "classname": "River"}
    index_file = read_index_file(write(tmp_path, content))
    assert match_rows(index_file.train, IDS, LABELS, source="", split="train").tolist() == [1, 3]
    assert index_file.val == ()


def test_the_digest_names_the_images_and_not_their_rows() -> None:
    def content(ids: list[str], rows: list[int]) -> dict[str, Any]:
        return index_content({"train": (ids, np.zeros(len(ids), dtype=np.int64), np.array(rows))}, ("Crop",))

    assert indices_digest(content(["a", "b"], [0, 1])) == indices_digest(content(["a", "b"], [5, 9]))
    assert indices_digest(content(["a", "b"], [0, 1])) != indices_digest(content(["a", "c"], [0, 1]))


def test_published_eurosat_files_agree_with_coops_split() -> None:
    shared = os.environ.get("FEATCACHE_SHARED")
    if not shared:
        pytest.skip("FEATCACHE_SHARED is not set: the published EuroSAT index files are not at hand")
    folder = Path(shared) / "data" / "eurosat"
    split = json.loads((folder / "split_zhou_EuroSAT.json").read_text(encoding="utf-8"))
    files = sorted((folder / "indices").glob("shot_*-seed_*.json"))
    assert files
    for path in files:
        index_file, raw = read_index_file(path), json.loads(path.read_text(encoding="utf-8"))
        for part, entries in (("train", index_file.train), ("val", index_file.val)):
            ids, labels = [item[0] for item in split[part]], np.array([item[1] for item in split[part]])
            rows = match_rows(entries, ids, labels, source=path.name, split=part)
            assert rows.tolist() == raw[part]["indices"]  # they are rows of exactly this listing
