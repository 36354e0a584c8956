"""Folders and zip archives of class folders."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from featcache.datasets.dataset import Split
from featcache.datasets.load import load_dataset
from featcache.errors import DataError
from tests.pictures import listing_of, make_class_folders, split_sizes, tiny_png


def counts(split: Split) -> list[int]:
    return [int(n) for n in np.bincount(split.labels)]


def test_folder_without_splits_is_split_by_class(tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"dog": 20, "cat": 10, ".hidden": 3})
    (tmp_path / "cat" / ".thumbnail.png").write_bytes(tiny_png(0))
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "loose.png").write_bytes(tiny_png(0))
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
    assert dataset.reader.read("dog/007.png") == tiny_png(7)
    assert dataset.provenance["split"]["from"] == "seeded stratified"
    assert dataset.prompts[dataset.default_prompts].expand(dataset.class_names)[0] == ("a photo of a cat.",)


def test_split_depends_on_the_seed_alone(tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"a": 30, "b": 30})
    first, again, other = (load_dataset(str(tmp_path), seed=seed) for seed in (1, 1, 2))
    assert listing_of(first) == listing_of(again) != listing_of(other)


def test_train_val_test_folders(tmp_path: Path) -> None:
    for split, n in (("train", 4), ("valid", 2), ("test", 3)):
        make_class_folders(tmp_path / split, {"cat": n, "dog": n})
    dataset = load_dataset(str(tmp_path))
    assert split_sizes(dataset) == {"train": 8, "val": 4, "test": 6}
    assert dataset.splits["val"].ids[0] == "valid/cat/000.png"
    assert dataset.provenance["split"] == {"from": "folders"}


def test_train_and_test_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "train", {"cat": 10, "dog": 20})
    make_class_folders(tmp_path / "test", {"cat": 3, "dog": 3})
    dataset = load_dataset(str(tmp_path))
    assert {name: counts(split) for name, split in dataset.splits.items()} == {
        "train": [10, 20],
        "test": [3, 3],
    }


def test_train_and_val_folders_test_on_val(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "train", {"cat": 10, "dog": 10})
    make_class_folders(tmp_path / "val", {"cat": 3, "dog": 4})
    dataset = load_dataset(str(tmp_path))
    assert counts(dataset.splits["test"]) == [3, 4]
    assert counts(dataset.splits["val"]) == [2, 2]
    assert dataset.provenance["split"]["test"] == "the source's val split"


def test_nested_folders_and_links_belong_to_their_class(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "set", {"cat/indoor": 2, "cat": 1, "dog": 3})
    make_class_folders(tmp_path / "elsewhere", {"fox": 3})
    (tmp_path / "set/fox").symlink_to(tmp_path / "elsewhere/fox")
    dataset = load_dataset(str(tmp_path / "set"))
    assert dataset.class_names == ("cat", "dog", "fox")
    assert sum(map(len, dataset.splits.values())) == 9
    assert dataset.reader.read("cat/indoor/001.png") == tiny_png(1)


def test_zip_of_class_folders_reads_like_the_folder(tmp_path: Path) -> None:
    folder = make_class_folders(tmp_path / "pets", {"cat": 9, "dog": 9})
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path))
    packed, unpacked = load_dataset(str(tmp_path / "pets.zip")), load_dataset(str(folder))
    assert listing_of(packed) == listing_of(unpacked)
    assert packed.reader.read("cat/004.png") == unpacked.reader.read("cat/004.png")


def test_split_file_for_a_folder_of_ones_own(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "set", {"cat": 4, "dog": 4})
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


def test_numbered_folders_take_names_in_numeric_order(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "set", {str(number): 5 for number in range(12)})
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]
    (tmp_path / "names.txt").write_text("\n".join(words))
    dataset = load_dataset(str(tmp_path / "set"), class_names=tmp_path / "names.txt")
    assert dataset.labels == tuple(map(str, range(12)))
    assert dataset.class_names == tuple(words)
    for split in dataset.splits.values():
        assert [image.split("/")[0] for image in split.ids] == [dataset.labels[y] for y in split.labels]


def test_classes_below_letters_are_the_folders_with_images(tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"a/airfield": 5, "a/alley": 5, "b/bakery/shop": 5})
    dataset = load_dataset(str(tmp_path))
    assert dataset.labels == ("a/airfield", "a/alley", "b/bakery/shop")
    assert dataset.class_names == ("airfield", "alley", "bakery shop")
    assert load_dataset(str(tmp_path), class_depth=1).class_names == ("a", "b")
    assert load_dataset(str(tmp_path), class_depth=2).class_names == ("airfield", "alley", "bakery")


def test_a_depth_without_images_is_refused(tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"cat": 5, "dog": 5})
    with pytest.raises(DataError, match="no images 3 folders deep: type --class-depth 1"):
        load_dataset(str(tmp_path), class_depth=3)
    with pytest.raises(DataError, match="--class-depth is for a folder or zip"):
        load_dataset("digits", class_depth=2)


def test_letters_below_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        make_class_folders(tmp_path / split, {"a/airfield": 4, "b/beach": 4})
    dataset = load_dataset(str(tmp_path))
    assert dataset.class_names == ("airfield", "beach")
    assert dataset.splits["test"].ids[0] == "test/a/airfield/000.png"


def test_images_without_a_class_folder_are_counted(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "train", {"cat": 10, "dog": 10})
    make_class_folders(tmp_path / "train", {".": 6})
    dataset = load_dataset(str(tmp_path))
    assert dataset.provenance["left_out"] == {"in no class folder": 6}
    assert dataset.provenance["left_out_paths"] == {"in no class folder": [f"train/{n:03d}.png" for n in range(6)]}
    assert split_sizes(dataset) == {"train": 10, "val": 4, "test": 6}
    assert all(image.count("/") == 2 for split in dataset.splits.values() for image in split.ids)


def test_ids_of_wordnet_are_named_by_the_list_beside_them(tmp_path: Path) -> None:
    for split in ("train", "val"):
        make_class_folders(tmp_path / split, {"n01440764": 5, "n01443537": 5})
    (tmp_path / "LOC_synset_mapping.txt").write_text("n01440764 a fish, Tinca tinca\n")
    dataset = load_dataset(str(tmp_path))
    assert dataset.class_names == ("a fish", "goldfish")
    assert dataset.labels == ("n01440764", "n01443537")


def test_other_files_are_counted_by_their_endings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_class_folders(tmp_path, {"cat": 5, "dog/puppy": 5})
    for name in ("cat/a.PDF", "cat/b.pdf", "dog/puppy/c.svg", "dog/README", "cat/.hidden.pdf", "beside.txt"):
        (tmp_path / name).write_text("no image")
    provenance = load_dataset(str(tmp_path)).provenance
    assert provenance["left_out"] == {".pdf": 2, ".svg": 1, ".": 1}
    named = {".pdf": ["cat/a.PDF", "cat/b.pdf"], ".svg": ["dog/puppy/c.svg"], ".": ["dog/README"]}
    assert provenance["left_out_paths"] == named
    monkeypatch.setattr("featcache.datasets.readers.image_files.reads_heif", lambda: False)
    (tmp_path / "cat/d.heic").write_text("a photo")
    assert load_dataset(str(tmp_path)).provenance["left_out"][".heic"] == 1


def test_members_of_a_zip_that_lead_out_of_it_are_counted_and_not_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("set/a/1.png", "set/a/2.png", "set/b/1.png", "set/b/2.png", "/etc/1.png", "../c/1.png", "top.png"):
            archive.writestr(name, tiny_png(1))
    dataset = load_dataset(str(tmp_path / "set.zip"))
    assert dataset.class_names == ("a", "b")
    assert dataset.provenance["left_out"] == {"in no class folder": 1, "with names that lead out of the zip": 2}


@pytest.mark.parametrize("links", [{"cat/again": ".."}, {"cat/x": "../dog", "dog/y": "../cat"}])
def test_a_link_to_a_folder_above_is_named(tmp_path: Path, links: dict[str, str]) -> None:
    make_class_folders(tmp_path / "set", {"cat": 3, "dog": 3})
    for place, target in links.items():
        (tmp_path / "set" / place).symlink_to(target)
    with pytest.raises(DataError, match=r"is a link to .*, a folder that holds it: remove the link") as raised:
        load_dataset(str(tmp_path / "set"))
    assert str(raised.value).count("again") < 2


def test_links_to_themselves_are_left_out_or_unreadable_and_the_rest_is_read(tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"cat": 5, "dog": 5})
    for place in ("fox", "cat/kitten", "dog/itself.png"):
        (tmp_path / place).symlink_to(Path(place).name)
    dataset = load_dataset(str(tmp_path))
    assert dataset.provenance["left_out_paths"] == {"behind a link that leads nowhere": ["cat/kitten", "fox"]}
    assert sum(split_sizes(dataset).values()) == 11
    with pytest.raises(OSError, match="symbolic links"):
        dataset.reader.read("dog/itself.png")


def test_a_link_that_makes_no_loop_is_followed(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "elsewhere", {"dog": 4})
    make_class_folders(tmp_path / "set", {"cat": 4})
    (tmp_path / "set/dog").symlink_to(tmp_path / "elsewhere/dog")
    assert load_dataset(str(tmp_path / "set")).class_names == ("cat", "dog")
