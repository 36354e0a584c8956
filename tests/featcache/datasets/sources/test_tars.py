"""Tars: which files make a sample, what its label is, which split it is in, and what is refused."""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
import tarfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featcache.datasets.load import load_dataset
from featcache.datasets.sources import tar_index
from featcache.errors import DataError
from tests.layouts import write_tar
from tests.pictures import make_class_folders, split_sizes, tiny_png

pytestmark = pytest.mark.usefixtures("root")  # where indices are kept


def samples(labels: list[str], *, start: int = 0) -> dict[str, bytes]:
    members = {}
    for number, label in enumerate(labels, start=start):
        members[f"{number:03d}.png"] = tiny_png(number)
        members[f"{number:03d}.cls"] = label.encode()
    return members


def test_samples_keep_the_order_of_the_tars_and_are_read_by_their_ids(tmp_path: Path) -> None:
    write_tar(tmp_path / "train-0.tar", samples(["b", "a"]))
    write_tar(tmp_path / "train-1.tar", samples(["a", "b"]))
    write_tar(tmp_path / "imagenet_TEST.3.tar", samples(["b", "a"]))
    dataset = load_dataset(str(tmp_path))
    assert list(dataset.splits["train"].ids) == [f"train-{tar}/{n:03d}.png" for tar in (0, 1) for n in (0, 1)]
    assert dataset.splits["train"].labels.tolist() == [1, 0, 0, 1]
    assert list(dataset.splits["test"].ids) == ["imagenet_TEST.3/000.png", "imagenet_TEST.3/001.png"]
    assert dataset.reader.read("train-1/001.png") == tiny_png(1)
    assert list(dataset.reader.sizes(["train-1/001.png", "gone"])) == [len(tiny_png(1)), -1]
    with pytest.raises(DataError, match="no member gone"):
        dataset.reader.read("gone")
    (tmp_path / "train-1.tar").rename(tmp_path / "moved.tar")  # or on a machine that does not have it
    assert list(dataset.reader.sizes(["train-0/001.png", "train-1/001.png"])) == [len(tiny_png(1)), -1]
    with pytest.raises(FileNotFoundError, match=r"train-1\.tar"):
        dataset.reader.read("train-1/001.png")


def test_splits_are_also_folders_and_of_one_split_alone_a_seeded_one_is_made(tmp_path: Path) -> None:
    for split, labels in (("train", ["a", "b"]), ("test", ["b", "a", "b"])):
        write_tar(tmp_path / "set" / split / "0.tar", samples(labels))
    assert split_sizes(load_dataset(str(tmp_path / "set"))) == {"train": 2, "test": 3}
    assert split_sizes(load_dataset(str(tmp_path / "set/test/0.tar")))["train"] == 2
    for name in ("one/train-0", "one/train-1"):
        write_tar(tmp_path / f"{name}.tar", samples(["a", "b", "a", "b"]))
    assert split_sizes(load_dataset(str(tmp_path / "one"))) == {"train": 4, "val": 2, "test": 2}
    write_tar(tmp_path / "set/test/train-0.tar", samples(["b"]))  # the file's name goes before the folder's
    assert split_sizes(load_dataset(str(tmp_path / "set"))) == {"train": 3, "test": 3}
    write_tar(tmp_path / "set/more/0.tar", samples(["a"]))
    dataset = load_dataset(str(tmp_path / "set"))
    assert split_sizes(dataset) == {"train": 3, "test": 3}
    assert dataset.provenance["left_out"] == {"in files that name no split": 1}


@pytest.mark.parametrize("split", ["train", "test"])
def test_tars_that_name_no_split_are_not_mixed_with_those_of_the_only_one_that_is_named(
    split: str, tmp_path: Path
) -> None:
    for name in ("000", f"{split}-000"):
        write_tar(tmp_path / f"{name}.tar", samples(["a", "b", "a", "b"]))
    with pytest.raises(DataError, match=f"only {split} is named, and 000 names no split: name train or test in each"):
        load_dataset(str(tmp_path))


def test_img2dataset_s_samples_have_their_label_in_json_and_failed_ones_are_counted(tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    for number in range(12):
        key = f"00000{number:04d}"
        about = {"caption": "a.b", "url": "u", "key": key, "status": "success", "label": ["cat", "dog"][number % 2]}
        members |= {f"{key}.jpg": tiny_png(number), f"{key}.txt": b"a.b", f"{key}.json": json.dumps(about).encode()}
    members["000000012.json"] = json.dumps({"key": "000000012", "status": "failed_to_download"}).encode()
    members["000000013.jpg"] = tiny_png(13)
    members["000000013.json"] = b'{"label": null}'
    write_tar(tmp_path / "00000.tar", members)
    pq.write_table(
        pa.table({"caption": ["a.b"] * 13, "key": [f"{number:09d}" for number in range(13)]}),
        tmp_path / "00000.parquet",
    )
    (tmp_path / "00000_stats.json").write_text("{}")
    dataset = load_dataset(str(tmp_path))
    assert dataset.class_names == ("cat", "dog")
    assert split_sizes(dataset) == {"train": 6 + 1, "val": 2, "test": 4}
    assert dataset.splits["train"].labels[-1] == -1
    assert dataset.provenance["left_out"] == {"missing from their samples": 1}


def test_keys_end_at_the_first_dot_and_folders_belong_to_them(tmp_path: Path) -> None:
    members = {
        "./a/x.png": tiny_png(0),
        "./a/x.mask.png": tiny_png(1),
        "./a/x.cls": b"cat",
        "./a/x.json": b'{"label": "dog"}',
        "./b/x.png": tiny_png(2),
        "./b/x.cls": b"dog",
        "./b/._x.png": b"of a Mac",
        "./c/x.seg.PNG": tiny_png(3),
        "./c/x.cls": b"dog",
        "./d/x.png": tiny_png(3),
        "./d/x.cls": b"cat",
    }
    dataset = load_dataset(str(write_tar(tmp_path / "x.tar", members)))
    assert dataset.provenance["left_out"] == {}
    pairs = (zip(split.ids, split.labels.tolist(), strict=True) for split in dataset.splits.values())
    assert dict(itertools.chain(*pairs)) == {"x/a/x.png": 0, "x/b/x.png": 1, "x/c/x.seg.PNG": 1, "x/d/x.png": 0}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "cat\n dog \n"),
        ("classnames.txt", "cat\ndog"),
        ("classes.json", '["cat", "dog"]'),
        ("classes.json", '{"1": "dog", "0": "cat"}'),
    ],
)
def test_numbers_are_named_by_a_list_beside_the_tars(name: str, text: str, tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", samples(["1\n", "0", "dog", "cat"]))
    numbers = write_tar(tmp_path / "y/x.tar", samples(["10", "9", "9", "10"]))
    (tmp_path / name).write_text(text)
    dataset = load_dataset(str(tmp_path / "x.tar"))
    assert dataset.class_names == ("cat", "dog")
    assert dataset.provenance["class_names"] == name
    assert load_dataset(str(numbers)).class_names == ("9", "10")  # no list: the numbers, in their order


@pytest.mark.parametrize(
    ("name", "text", "number"),
    [
        ("classes.txt", "cat\n\ndog\n", 1),
        ("classes.txt", "\ncat\ndog\n", 0),
        ("classes.json", '["cat", " ", "dog"]', 1),
        ("classes.json", '{"1": "cat", "2": "dog"}', 0),
    ],
)
def test_a_list_that_leaves_out_a_class_is_refused(name: str, text: str, number: int, tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", samples(["1", "0", "1", "0"]))
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=f"{name} has no name for class {number}: name every class, from 0 on"):
        load_dataset(str(tmp_path / "x.tar"))


def test_a_tar_of_class_folders_is_as_a_zip_of_them(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "photos/train", {"cat": 3, "dog": 2})
    make_class_folders(tmp_path / "photos/test", {"cat": 1, "dog": 1})
    made = [shutil.make_archive(str(tmp_path / f"of_{kind}"), kind, tmp_path, "photos") for kind in ("tar", "zip")]
    found = [load_dataset(path) for path in made]
    assert list(found[0].splits["train"].ids) == list(found[1].splits["train"].ids)
    assert found[0].splits["train"].ids[0] == "train/cat/000.png"
    assert found[0].reader.read("train/cat/002.png") == tiny_png(2)
    assert found[0].sizes_digest() == found[1].sizes_digest()


def test_tars_that_are_class_folders_each(tmp_path: Path) -> None:
    for wordnet in ("n01440764", "n02102040"):
        write_tar(tmp_path / f"{wordnet}.tar", {f"{wordnet}_{i}.JPEG": tiny_png(i) for i in range(4)})
    dataset = load_dataset(str(tmp_path))
    assert dataset.labels == ("n01440764", "n02102040")
    assert dataset.class_names[0] == "tench"
    assert dataset.reader.read("n02102040/n02102040_3.JPEG") == tiny_png(3)


def test_class_folders_with_a_tar_beside_them_stay_class_folders(tmp_path: Path) -> None:
    make_class_folders(tmp_path, {"cat": 3, "dog": 3})
    write_tar(tmp_path / "backup.tar", samples(["a", "b"]))
    assert load_dataset(str(tmp_path)).labels == ("cat", "dog")


def test_what_cannot_be_listed_is_said_in_a_line(tmp_path: Path) -> None:
    def refuses(name: str, message: str, **options: object) -> None:
        with pytest.raises(DataError, match=message) as caught:
            load_dataset(str(tmp_path / name), **options)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)

    whole = write_tar(tmp_path / "whole.tar", samples(["a", "b"]))
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[:700])
    refuses("cut.tar", r"cut\.tar is not a readable tar \(.*\): download it again")
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[:1300])
    refuses("cut.tar", r"cut\.tar is not a readable tar \(damaged or cut off at byte 1024\)")
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[:2048])
    refuses("cut.tar", r"damaged or cut off at byte 2048")
    (tmp_path / "none.tar").write_bytes(b"no tar at all" * 100)
    refuses("none.tar", r"none\.tar is not a readable tar")
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(whole.read_bytes()))
    refuses("x.tar.gz", r"x\.tar\.gz is compressed and cannot be read in place: unpack it")
    with tarfile.open(tmp_path / "twice.tar", "w") as tar:
        tar.add(whole, "a.png")
        tar.add(whole, "a.png")
    refuses("twice.tar", r"twice\.tar holds a\.png twice")
    refuses("{a,b}-{0..3}.tar", r"8 of 8 tars are not there, first .*a-0\.tar")
    refuses("{whole,whole}.tar", "names a tar twice")
    refuses("gone-*.tar", "names no tar that is there")
    write_tar(tmp_path / "pair.tar", {"a.png": b"", "a.jpg": b"", "a.cls": b"1"})
    refuses("pair.tar", r"a sample of 2 images, a\.png and a\.jpg: keep one")
    write_tar(tmp_path / "bare.tar", {"a.png": b"", "a.json": b'{"caption": "x"}', "a.txt": b"x"})
    assert load_dataset(str(tmp_path / "bare.tar")).splits["train"].labels.tolist() == [-1]
    write_tar(tmp_path / "broken.tar", {"a.png": b"", "a.json": b"{"})
    refuses("broken.tar", r"broken\.tar: a\.json cannot be read: it is not JSON")
    halves = {"a.png": b"", "a.json": b'{"label": "\\ud800"}', "b.png": b"", "b.json": b'{"label": "b"}'}
    write_tar(tmp_path / "halves.tar", halves)
    refuses("halves.tar", r'has the class "\\ud800", which is no text in UTF-8')
    refuses("whole.tar", "a split file does not go with whole.tar: name tars as their split", split_file="x.json")
    refuses("whole.tar", "--class-depth is for a folder", class_depth=2)
    write_tar(tmp_path / "far.tar", samples(["0", "2"]))
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    refuses("far.tar", r'classes\.txt has 2 names and none for the label "2"')


@pytest.mark.parametrize("remote", [False, True])
def test_an_index_is_kept_until_the_tar_changes(remote: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned: list[str] = []
    index_tar, memory = tar_index.index_tar, fsspec.filesystem("memory")

    def scan(location: str) -> tar_index.TarIndex:
        scanned.append(location)
        return index_tar(location)

    monkeypatch.setattr(tar_index, "index_tar", scan)
    dataset = "memory://tars/x.tar" if remote else str(tmp_path / "x.tar")

    def write(labels: list[str]) -> None:
        path = write_tar(tmp_path / "x.tar", samples(labels))
        memory.pipe("/tars/x.tar", path.read_bytes())

    def rows() -> int:
        found = load_dataset(dataset, download_root=tmp_path / "kept")
        assert found.reader.read("x/001.png") == tiny_png(1)
        return sum(split_sizes(found).values())

    try:
        write(["a", "b"] * 2)
        assert (rows(), rows()) == (4, 4)
        assert scanned == [dataset]
        write(["b", "a"] * 2)
        assert (rows(), scanned) == (4, [dataset] * 2)
        write(["a", "b"] * 30)
        assert (rows(), len(scanned)) == (60, 3)
        for number, damaged in enumerate((b"damaged", b"PK\x03\x04damaged", b""), start=4):
            for file in (tmp_path / "kept/tar-indices").iterdir():
                file.write_bytes(damaged)
            assert (rows(), len(scanned)) == (60, number)
    finally:
        memory.store.clear()


def test_images_whose_names_lead_out_are_counted(tmp_path: Path) -> None:
    out = {"../x/1.png": tiny_png(8), "a/../../2.png": tiny_png(9), "../notes.txt": b"x"}
    folders = {f"{name}/{number}.png": tiny_png(number) for name in "ab" for number in range(4)}
    for name, members in (("folders", folders), ("samples", samples(["a", "b"] * 4))):
        write_tar(tmp_path / f"{name}.tar", {**members, **out})
        found = load_dataset(str(tmp_path / f"{name}.tar"))
        assert found.provenance["left_out"]["with names that lead out of the tar"] == 2
        again = load_dataset(str(tmp_path / f"{name}.tar"))  # from the index that is kept
        assert again.provenance["left_out"] == found.provenance["left_out"]
        assert sum(split_sizes(found).values()) == 8
