"""Folders, zips, CSVs and digits as data sets; limits, subsets, class names; and what is said when something is wrong."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from featcache.datasets import Dataset, Split, load_dataset
from featcache.datasets.stratified import balanced_rows, carve_rows, split_rows
from featcache.errors import DataError


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (2, 2), value).save(buffer, "PNG")
    return buffer.getvalue()


def make(root: Path, counts: Mapping[str, int], suffix: str = ".png") -> Path:
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            (root / folder / f"{i:03d}{suffix}").write_bytes(png(i))
    return root


def sizes(dataset: Dataset) -> dict[str, int]:
    return {name: len(split) for name, split in dataset.splits.items()}


def counts(split: Split) -> list[int]:
    return np.bincount(split.labels).tolist()


# Folders


def test_folder_without_splits_is_split_by_class(tmp_path: Path) -> None:
    make(tmp_path, {"dog": 20, "cat": 10, ".hidden": 3})
    (tmp_path / "cat" / ".thumbnail.png").write_bytes(png(0))
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "loose.png").write_bytes(png(0))
    dataset = load_dataset(str(tmp_path))
    assert dataset.name == tmp_path.name
    assert dataset.class_names == ("cat", "dog")
    assert {name: counts(split) for name, split in dataset.splits.items()} == {
        "train": [5, 10],
        "val": [2, 4],
        "test": [3, 6],
    }
    for split in dataset.splits.values():
        assert list(split.ids) == sorted(split.ids)  # listing order: by class folder, then by name
        assert [image.split("/")[0] for image in split.ids] == [dataset.class_names[y] for y in split.labels]
        assert split.labels.dtype == np.int64
    everything = [image for split in dataset.splits.values() for image in split.ids]
    assert len(everything) == len(set(everything)) == 30
    assert dataset.reader.read("dog/007.png") == png(7)
    assert dataset.provenance["split"]["from"] == "seeded stratified"
    assert dataset.prompts[dataset.default_prompts].expand(dataset.class_names)[0] == ("a photo of a cat.",)


def test_split_depends_on_the_seed_alone(tmp_path: Path) -> None:
    make(tmp_path, {"a": 30, "b": 30})
    first, again, other = (load_dataset(str(tmp_path), seed=seed) for seed in (1, 1, 2))
    assert first.digest() == again.digest() != other.digest()


def test_train_val_test_folders(tmp_path: Path) -> None:
    for split, n in (("train", 4), ("valid", 2), ("test", 3)):
        make(tmp_path / split, {"cat": n, "dog": n})
    dataset = load_dataset(str(tmp_path))
    assert sizes(dataset) == {"train": 8, "val": 4, "test": 6}
    assert dataset.splits["val"].ids[0] == "valid/cat/000.png"
    assert dataset.provenance["split"] == {"from": "folders"}


def test_train_and_test_folders_leave_validation_to_train(tmp_path: Path) -> None:
    make(tmp_path / "train", {"cat": 10, "dog": 20})
    make(tmp_path / "test", {"cat": 3, "dog": 3})
    dataset = load_dataset(str(tmp_path))
    assert {name: counts(split) for name, split in dataset.splits.items()} == {
        "train": [8, 16],
        "val": [2, 4],
        "test": [3, 3],
    }
    assert dataset.provenance["split"]["val"]["fraction_of_train"] == 0.2


def test_train_and_val_folders_test_on_val(tmp_path: Path) -> None:
    make(tmp_path / "train", {"cat": 10, "dog": 10})
    make(tmp_path / "val", {"cat": 3, "dog": 4})
    dataset = load_dataset(str(tmp_path))
    assert counts(dataset.splits["test"]) == [3, 4]
    assert counts(dataset.splits["val"]) == [2, 2]
    assert dataset.provenance["split"]["test"] == "the source's val split"


def test_nested_folders_and_links_belong_to_their_class(tmp_path: Path) -> None:
    make(tmp_path / "set", {"cat/indoor": 2, "cat": 1, "dog": 3})
    make(tmp_path / "elsewhere", {"fox": 3})
    (tmp_path / "set/fox").symlink_to(tmp_path / "elsewhere/fox")
    dataset = load_dataset(str(tmp_path / "set"))
    assert dataset.class_names == ("cat", "dog", "fox")
    assert sum(map(len, dataset.splits.values())) == 9
    assert dataset.reader.read("cat/indoor/001.png") == png(1)


def test_zip_of_class_folders_reads_like_the_folder(tmp_path: Path) -> None:
    folder = make(tmp_path / "pets", {"cat": 9, "dog": 9})
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path))
    packed, unpacked = load_dataset(str(tmp_path / "pets.zip")), load_dataset(str(folder))
    assert packed.digest() == unpacked.digest()
    assert packed.reader.read("cat/004.png") == unpacked.reader.read("cat/004.png")


def test_split_file_for_a_folder_of_ones_own(tmp_path: Path) -> None:
    make(tmp_path / "set", {"cat": 4, "dog": 4})
    split = {
        "train": [["dog/003.png", 1, "a dog"], ["cat/002.png", 0, "a cat"]],
        "val": [],
        "test": [["cat/000.png", 0, "a cat"]],
    }
    (tmp_path / "split.json").write_text(json.dumps(split))
    dataset = load_dataset(str(tmp_path / "set"), split_file=tmp_path / "split.json")
    assert dataset.class_names == ("a cat", "a dog")
    assert dataset.splits["train"].ids == ("dog/003.png", "cat/002.png")
    assert list(dataset.splits) == ["train", "test"]


# CSV


def write_csv(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_csv_with_splits_keeps_row_order(tmp_path: Path) -> None:
    make(tmp_path / "images", {"x": 6})
    rows = ["label,note,path,split"]
    rows += [
        f"{'ant' if i % 2 else 'bee'},?,images/x/{i:03d}.png,{s}"
        for i, s in enumerate(["train", "train", "val", "val", "test", "test"])
    ]
    dataset = load_dataset(write_csv(tmp_path / "mine.csv", "\n".join(rows)))
    assert dataset.name == "mine"
    assert dataset.class_names == ("ant", "bee")
    assert dataset.splits["train"].ids == ("images/x/000.png", "images/x/001.png")
    assert dataset.splits["train"].labels.tolist() == [1, 0]
    assert dataset.reader.read("images/x/003.png") == png(3)
    assert dataset.provenance["split"] == {"from": "column split of mine.csv"}


def test_csv_without_splits_and_with_quotes_and_a_byte_order_mark(tmp_path: Path) -> None:
    make(tmp_path, {"a, b": 10, "c": 10})
    lines = ["\ufeffpath, label", *(f'"a, b/{i:03d}.png", "tea, green"\nc/{i:03d}.png, coffee' for i in range(10))]
    dataset = load_dataset(write_csv(tmp_path / "x.csv", "\n".join(lines)))
    assert dataset.class_names == ("coffee", "tea, green")
    assert sizes(dataset) == {"train": 10, "val": 4, "test": 6}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns nothing: its first line must name path and label .*path and label is missing"),
        ("file,label\na/000.png,x\n", "columns file, label.*path is missing"),
        ("path,label\n", "no rows"),
        ("path,label\na/000.png,x\na/001.png,\n", "line 3: label is empty"),
        ("path,label\na/000.png,x\ngone.png,y\nb/999.png,y\n", "2 of 3 files do not exist, first gone.png"),
        ("path,label\na/000.png,x\na/000.png,y\n", "lists a/000.png twice"),
        ("path,label\na/000.png,x\na/001.png,x\n", 'has 1 class \\("x"\\), a classifier needs 2 or more'),
        ("path,label\na/000.png,Tea_Pot\na/001.png,tea pot\n", 'the class "tea pot" twice'),
        ("path,label,split\na/000.png,x,train\na/001.png,y,dev\n", 'line 3: split is "dev": write train, val or test'),
        ("path,label,split\na/000.png,x,test\na/001.png,y,val\n", 'call one split "train"'),
        ("path,label,split\na/000.png,x,train\na/001.png,y,test\n", 'class "y" has no images in train'),
    ],
)
def test_csv_errors(text: str, message: str, tmp_path: Path) -> None:
    make(tmp_path, {"a": 4})
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(write_csv(tmp_path / "x.csv", text))
    assert "\n" not in str(caught.value)


# digits


def test_digits() -> None:
    dataset = load_dataset("digits")
    assert sizes(dataset) == dict(dataset.provenance["expected_rows"])
    assert sum(sizes(dataset).values()) == 1797
    # The split is the same everywhere: this digest was computed once.
    assert dataset.digest() == DIGITS_DIGEST
    from sklearn.datasets import load_digits

    source = load_digits()
    reader = pickle.loads(pickle.dumps(dataset.reader))
    for image, label in zip(dataset.splits["val"].ids[:50], dataset.splits["val"].labels[:50], strict=True):
        pixels = reader.read(image)
        row = int(image[-4:])
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, np.rint(source.images[row] * 255 / 16))
        assert source.target[row] == label
    assert dataset.class_names[3] == "three"


DIGITS_DIGEST = "4d18cacd614d26fa0f97186ba361d2c502a645aa23a12137d9e3ff15a0cdba89"


# Limits and subsets


def test_limited_is_balanced_nested_and_in_listing_order(tmp_path: Path) -> None:
    make(tmp_path / "train", {"a": 3, "b": 30, "c": 30})
    make(tmp_path / "val", {"a": 2, "b": 2, "c": 2})
    make(tmp_path / "test", {"a": 9, "b": 9, "c": 9})
    dataset = load_dataset(str(tmp_path))
    small, large = dataset.limited(10, seed=0), dataset.limited(20, seed=0)
    assert sorted(counts(small.splits["train"])) == [3, 3, 4]
    assert sizes(small) == {"train": 10, "val": 6, "test": 10}
    assert sorted(counts(large.splits["train"])) == [3, 8, 9]
    for name in dataset.splits:
        assert set(small.splits[name].ids) <= set(large.splits[name].ids)
        rows = [dataset.splits[name].ids.index(image) for image in small.splits[name].ids]
        assert rows == sorted(rows)
        assert (small.splits[name].labels == dataset.splits[name].labels[rows]).all()
    assert small.digest() == dataset.limited(10, seed=0).digest() != dataset.limited(10, seed=1).digest()
    assert small.provenance["limit"] == {"rows": 10, "seed": 0}
    with pytest.raises(DataError, match="at least 1"):
        dataset.limited(0, seed=0)


def test_subset(tmp_path: Path) -> None:
    dataset = load_dataset(str(make(tmp_path, {"a": 10, "b": 10})))
    assert list(dataset.subset(["test", "train"]).splits) == ["train", "test"]
    with pytest.raises(DataError, match='no split "dev": choose from train, val, test'):
        dataset.subset(["train", "dev"])


def test_digest_sees_ids_labels_order_and_split_names_only(tmp_path: Path) -> None:
    dataset = load_dataset(str(make(tmp_path, {"a": 10, "b": 10})))

    def digest(**splits: Split) -> str:
        return Dataset("x", ("a", "b"), splits, dataset.reader, dataset.prompts, "default", {}).digest()

    train = Split(("1", "2"), np.array([0, 1]))
    assert digest(train=train) == digest(train=Split(("1", "2"), np.array([0, 1])))
    others = [
        digest(val=train),
        digest(train=Split(("2", "1"), np.array([0, 1]))),
        digest(train=Split(("1", "2"), np.array([1, 0]))),
        digest(train=Split(("12", ""), np.array([0, 1]))),
        digest(train=Split(("1",), np.array([0])), val=Split(("2",), np.array([1]))),
    ]
    assert len({digest(train=train), *others}) == 6


LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60)


@given(LABELS, st.integers(0, 3))
def test_split_rows_part_the_rows(labels: list[int], seed: int) -> None:
    y = np.array(labels)
    ids = [f"{i}.png" for i in range(len(y))]
    parts = split_rows(ids, y, seed)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(y)))
    for label, count in enumerate(np.bincount(y).tolist()):
        got = [int((y[rows] == label).sum()) for rows in parts.values()]
        if count >= 3:
            assert min(got) >= 1
        assert got[0] >= min(count, 1)
        assert abs(got[0] - count / 2) <= 1
        assert abs(got[1] - count / 5) <= 1
    kept, taken = carve_rows(ids, y, seed)
    assert sorted([*kept.tolist(), *taken.tolist()]) == list(range(len(y)))
    assert set(y[taken].tolist()) == {label for label, n in enumerate(np.bincount(y)) if n >= 2}


@given(LABELS, st.integers(1, 60), st.integers(0, 3))
def test_balanced_rows_fill_up_evenly(labels: list[int], n: int, seed: int) -> None:
    y = np.array(labels)
    ids = [f"{i}.png" for i in range(len(y))]
    rows = balanced_rows(ids, y, n, seed)
    assert len(rows) == min(n, len(y))
    have, got = np.bincount(y, minlength=5), np.bincount(y[rows], minlength=5)
    assert all(got[label] == have[label] or got[label] >= got.max() - 1 for label in range(5))
    assert set(balanced_rows(ids, y, max(1, n - 1), seed).tolist()) <= set(rows.tolist())


# Class names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["a cat", "a dog"]', ("a cat", "a dog")),
        ('{"dog": "a hot dog"}', ("cat", "a hot dog")),
        ("a cat\na dog\n\n", ("a cat", "a dog")),
    ],
)
def test_class_names_from_a_file(text: str, expected: tuple[str, ...], tmp_path: Path) -> None:
    make(tmp_path / "set", {"cat": 5, "dog": 5})
    (tmp_path / "names").write_text(text)
    dataset = load_dataset(str(tmp_path / "set"), class_names=tmp_path / "names")
    assert dataset.class_names == expected
    assert dataset.provenance["class_names"] == "given, names"
    assert dataset.digest() == load_dataset(str(tmp_path / "set")).digest()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["a cat"]', "has 1 class names, the data set has 2 classes"),
        ("one\ntwo\nthree", "has 3 class names, the data set has 2 classes.*: cat, dog"),
        ('{"cow": "a cow"}', 'names the class "cow".*2 classes are cat, dog'),
        ('["Same", "same"]', 'the class "same" twice'),
        ('["unfinished"', "neither JSON"),
    ],
)
def test_class_names_errors(text: str, message: str, tmp_path: Path) -> None:
    make(tmp_path / "set", {"cat": 5, "dog": 5})
    (tmp_path / "names").write_text(text)
    with pytest.raises(DataError, match=message):
        load_dataset(str(tmp_path / "set"), class_names=tmp_path / "names")
    with pytest.raises(DataError, match="No such file"):
        load_dataset(str(tmp_path / "set"), class_names=tmp_path / "nowhere")


# What is said when something is wrong


def test_no_such_set() -> None:
    with pytest.raises(DataError, match="did you mean eurosat.*featcache datasets"):
        load_dataset("eurosta")
    with pytest.raises(DataError, match='no data set "zzz": `featcache datasets`'):
        load_dataset("zzz")
    with pytest.raises(DataError, match="does not exist"):
        load_dataset("./nowhere")


def test_folder_errors(tmp_path: Path) -> None:
    def refuses(folder: str, message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            load_dataset(str(tmp_path / folder))
        assert "\n" not in str(caught.value)

    (tmp_path / "empty").mkdir()
    refuses("empty", "is empty: expected one folder of images for each class")
    make(tmp_path, {"flat": 3})
    refuses("flat", "has 3 images but no class folders")
    make(tmp_path / "one", {"cat": 3})
    refuses("one", "has 1 class")
    make(tmp_path / "hollow", {"cat": 3, "dog": 0})
    refuses("hollow", 'class "dog" has no images')
    make(tmp_path / "twice", {"Cat": 3, "cat": 3})
    refuses("twice", 'class "cat" twice')
    make(tmp_path / "gap/train", {"cat": 3, "dog": 0})
    make(tmp_path / "gap/test", {"cat": 3, "dog": 2})
    refuses("gap", 'class "dog" has no images in train')
    (tmp_path / "notes.txt").write_text("")
    refuses("notes.txt", "neither a folder, a .zip nor a .csv")
    (tmp_path / "broken.zip").write_bytes(b"PK")
    refuses("broken.zip", "not a readable zip archive")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_file_name_that_is_not_text(tmp_path: Path) -> None:
    make(tmp_path, {"cat": 3, "dog": 3})
    Path(os.fsdecode(bytes(tmp_path / "cat") + b"/\xff.png")).write_bytes(png(0))
    with pytest.raises(DataError, match="not valid UTF-8"):
        load_dataset(str(tmp_path))


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    make(tmp_path / "set", {"cat": 3, "dog": 3})
    with pytest.raises(DataError, match="--data-root is for sets with a name"):
        load_dataset(str(tmp_path / "set"), data_root=tmp_path)
    with pytest.raises(DataError, match="data root .*nowhere does not exist"):
        load_dataset("eurosat", data_root=tmp_path / "nowhere")
    path = write_csv(tmp_path / "x.csv", "path,label\n")
    with pytest.raises(DataError, match="column split"):
        load_dataset(path, split_file=tmp_path / "s.json")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("{", "not JSON"),
        ('{"train": [["cat/000.png", 0]]}', "not one of CoOp's split files"),
        ('{"val": []}', "not one of CoOp's split files"),
        ('{"train": [["cat/000.png", 0, "cat"], ["dog/000.png", 2, "dog"]]}', "2 labels between 0 and 2"),
        ('{"train": [["cat/000.png", 0, "cat"], ["dog/000.png", 0, "dog"]]}', 'label 0 is "cat" and, for dog/000.png'),
        (
            '{"train": [["cat/000.png", 0, "cat"], ["dog/9.png", 1, "dog"], ["dog/8.png", 1, "dog"]]}',
            "2 of 3 images are not in .*, first dog/9.png",
        ),
        (
            '{"train": [["cat/000.png", 0, "cat"]], "test": [["dog/000.png", 1, "dog"]]}',
            'class "dog" has no images in train',
        ),
    ],
)
def test_split_file_errors(split: str, message: str, tmp_path: Path) -> None:
    make(tmp_path / "set", {"cat": 3, "dog": 3})
    (tmp_path / "split.json").write_text(split)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(str(tmp_path / "set"), split_file=tmp_path / "split.json")
    assert "\n" not in str(caught.value)


def test_listing_imports_no_torch(tmp_path: Path) -> None:
    make(tmp_path / "set", {"cat": 3, "dog": 3})
    code = (
        "import sys; from featcache.datasets import load_dataset, list_cards; list_cards();"
        f"load_dataset('digits'); load_dataset({str(tmp_path / 'set')!r});"
        "assert not {'torch', 'torchvision', 'open_clip'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
