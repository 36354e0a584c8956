"""Images without a label are rows of a data set, whatever lists them: label -1, behind the others of their split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import featcache
from featcache.cache.labels_file import read_labels_file
from featcache.commands.extract import extraction_page
from featcache.commands.info import cache_json, cache_page
from featcache.datasets.dataset import Dataset, Split
from featcache.datasets.listing import complete_splits
from featcache.datasets.load import load_dataset
from featcache.errors import CacheError, DataError, PromptError
from featcache.extraction.add_text import add_prompt_set
from featcache.extraction.extract import run_extraction
from featcache.extraction.request import Request
from featcache.ids import Ids
from tests.pages import drawn
from tests.pictures import draw_class_folders, make_class_folders, split_sizes


def unlabelled(dataset: Dataset) -> dict[str, list[str]]:
    found = {
        name: [i for i, y in zip(part.ids, part.labels, strict=True) if y < 0] for name, part in dataset.splits.items()
    }
    return {name: ids for name, ids in found.items() if ids}


def test_a_folder_of_images_is_a_data_set_without_labels(tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"photos": 20})
    dataset = load_dataset(str(tmp_path / "photos"))
    assert split_sizes(dataset) == {"train": 14, "test": 6}
    assert sorted(image for part in dataset.splits.values() for image in part.ids) == [
        f"{n:03d}.png" for n in range(20)
    ]
    assert unlabelled(dataset) == {name: list(part.ids) for name, part in dataset.splits.items()}
    assert dataset.class_names == ()
    assert dataset.provenance["split"]["fractions"] == {"train": 0.7, "test": 0.3}
    assert load_dataset(str(tmp_path / "photos"), seed=1).listing_sha256 != dataset.listing_sha256


@pytest.mark.parametrize("given", ["cat, dog,fox", "names.txt"])
def test_its_classes_may_be_given(tmp_path: Path, given: str) -> None:
    make_class_folders(tmp_path, {"photos": 4})
    if given.endswith(".txt"):
        given = str(tmp_path / given)
        Path(given).write_text("cat\ndog\nfox\n")
    dataset = load_dataset(str(tmp_path / "photos"), class_names=given)
    assert dataset.class_names == dataset.labels == ("cat", "dog", "fox")
    assert dataset.provenance["class_names"].startswith("given")
    assert set(np.concatenate([part.labels for part in dataset.splits.values()])) == {-1}
    with pytest.raises(DataError, match=r'--class-names cat,Cat has the class "Cat" twice'):
        load_dataset(str(tmp_path / "photos"), class_names="cat,Cat")


def test_a_split_without_class_folders_has_no_labels_and_stays_what_it_is(tmp_path: Path) -> None:
    """As in competitions: what is to be told of the test images is what nobody has told yet."""
    make_class_folders(tmp_path / "train", {"cat": 10, "dog": 10})
    make_class_folders(tmp_path, {"test": 6})
    dataset = load_dataset(str(tmp_path))
    assert split_sizes(dataset) == {"train": 10, "val": 4, "test": 6 + 6}  # so that there is something to measure on
    assert unlabelled(dataset) == {"test": [f"test/{n:03d}.png" for n in range(6)]}
    assert dataset.provenance["left_out"] == {}


def test_split_folders_of_images_alone(tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"train": 5, "valid": 2})
    dataset = load_dataset(str(tmp_path))
    assert {name: list(part.ids) for name, part in dataset.splits.items()} == {
        "train": [f"train/{n:03d}.png" for n in range(5)],
        "test": ["valid/000.png", "valid/001.png"],
    }


def listed_as_csv(folder: Path, rows: list[tuple[str, str]]) -> str:
    (folder / "x.csv").write_text("\n".join(["path,label", *(f"{path},{label}" for path, label in rows)]))
    return str(folder / "x.csv")


def listed_as_parquet(folder: Path, rows: list[tuple[str, str]]) -> str:
    paths, labels = zip(*rows, strict=True)
    pq.write_table(pa.table({"path": paths, "label": [label or None for label in labels]}), folder / "x.parquet")
    return str(folder / "x.parquet")


@pytest.mark.parametrize("write", [listed_as_csv, listed_as_parquet])
def test_an_empty_label_in_a_table_is_none(tmp_path: Path, write: Callable[..., str]) -> None:
    make_class_folders(tmp_path, {"a": 22})
    names = [f"a/{n:03d}.png" for n in range(22)]
    rows = [(name, ("x", "y")[n % 2] if n < 20 else "") for n, name in enumerate(names[2:] + names[:2])]
    dataset = load_dataset(write(tmp_path, rows[20:] + rows[:20]))
    assert dataset.class_names == ("x", "y")
    assert split_sizes(dataset) == {"train": 10 + 2, "val": 4, "test": 6}
    assert unlabelled(dataset) == {"train": names[:2]}
    assert dataset.splits["train"].labels[-2:].tolist() == [-1, -1]
    nothing = load_dataset(write(tmp_path, [(name, "") for name in names]))
    assert nothing.class_names == ()
    assert split_sizes(nothing) == {"train": 15, "test": 7}


def test_of_what_has_labels_splits_are_those_of_a_set_without_the_rest() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    mixed = np.insert(labels, rng.integers(0, 60, 15), -1)
    ids = [f"{n}" for n in range(75)]
    whole = Split(ids, mixed)
    splits, _ = complete_splits({"train": whole}, 3)
    alone, _ = complete_splits({"train": whole.take(np.flatnonzero(mixed >= 0))}, 3)
    assert splits["train"].ids[: len(alone["train"])] == alone["train"].ids
    assert splits["train"].ids[len(alone["train"]) :] == [ids[n] for n in np.flatnonzero(mixed < 0)]
    assert all(splits[name].ids == alone[name].ids for name in ("val", "test"))


def test_a_class_may_have_no_image_yet(tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"a": 6})
    rows = [("a/000.png", "x", "train"), ("a/001.png", "y", "test"), ("a/002.png", "x", "test")]
    text = "\n".join(["path,label,split", *map(",".join, rows)])
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match='class "y" has no images in train'):
        load_dataset(str(tmp_path / "x.csv"))
    (tmp_path / "x.csv").write_text(text + "\na/003.png,,train\n")
    assert unlabelled(load_dataset(str(tmp_path / "x.csv"))) == {"train": ["a/003.png"]}


def test_a_limit_takes_some_of_them(tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"photos": 20})
    assert split_sizes(load_dataset(str(tmp_path / "photos")).limited(5, 0)) == {"train": 5, "test": 5}


def test_ids_of_other_lengths_follow_each_other() -> None:
    assert Ids.joined([Ids.of(["a", "bcd"]), Ids.of(["é" * 9, ""])]) == ["a", "bcd", "é" * 9, ""]


def test_they_are_rows_of_a_cache_and_counted(root: Path, tmp_path: Path) -> None:
    draw_class_folders(tmp_path / "photos/train", classes=2, per_class=10)
    draw_class_folders(tmp_path / "more", classes=1, per_class=4)
    (tmp_path / "more/class_0").rename(tmp_path / "photos/test")
    report = run_extraction(Request(model="tiny", dataset=str(tmp_path / "photos")), progress=False)
    cache = report.cache
    assert report.to_json()["unlabelled"] == cache.unlabelled == {"test": 4}
    assert cache["test"].labels[-4:].tolist() == [-1] * 4
    assert cache["test"].valid.all()
    assert np.isfinite(cache["test"].images).all()
    for page in (extraction_page(report, None), cache_page(cache_json(cache.folder))):
        assert "unlabelled test 4" in " ".join(drawn(page, 200).split())


def test_a_cache_without_classes(root: Path, tmp_path: Path) -> None:
    draw_class_folders(tmp_path, classes=1, per_class=10)
    report = run_extraction(Request(model="tiny", dataset=str(tmp_path / "class_0")), progress=False)
    cache = report.cache
    assert (cache.class_names, cache.prompt_sets) == ((), ())
    assert cache.unlabelled == cache.rows == {"train": 7, "test": 3}
    told = " ".join(drawn(extraction_page(report, None), 200).split())
    assert "classes none: no image has a label, and --class-names cat,dog was not given" in told
    assert f"next adapters suggest {cache.name} --csv labels.csv" in told
    assert "classes none" in " ".join(drawn(cache_page(cache_json(cache.folder)), 200).split())
    with pytest.raises(CacheError, match=r"has no classes: no image had a label; type .* --class-names cat,dog"):
        cache.text  # noqa: B018
    with pytest.raises(PromptError, match="has no classes"):
        add_prompt_set(cache.folder, "default", name=None, default=True, device="cpu")
    again = run_extraction(Request(model="tiny", dataset=str(tmp_path / "class_0")), progress=False)
    assert (again.encoded, again.resumed) == (0, 10)


def test_labels_are_given_afterwards(root: Path, tmp_path: Path) -> None:
    draw_class_folders(tmp_path, classes=1, per_class=10)
    cache = featcache.extract("tiny", str(tmp_path / "class_0"), class_names="cat,dog", progress=False)
    assert cache.text.weights().shape == (2, 128)
    ids = cache["train"].ids
    (tmp_path / "labels.csv").write_text(f"id,label\n{ids[0]},dog\n{ids[1]},\n")
    mended = cache.relabelled(read_labels_file(tmp_path / "labels.csv"))
    assert mended["train"].labels[:2].tolist() == [1, -1]
    assert mended["train"].labelled.sum() == 1
    assert mended.mended is not None
    assert mended.mended.changed == {"train": 1, "test": 0}
