"""Every card, on miniatures in the layouts that its set comes in: CoOp's with a split file, and torchvision's own."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from featcache.datasets.cards import Card, list_cards
from featcache.datasets.dataset import Dataset
from featcache.datasets.load import load_dataset
from featcache.errors import DataError
from tests.pictures import listing_of

CARDS = {card.name: card for card in list_cards()}
COOP_SETS = sorted(card.name for card in CARDS.values() if card.coop_split)
PER_CLASS = 6


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (200, 30, 30)).save(buffer, "JPEG")
    return buffer.getvalue()


JPEG = jpeg()


def write(path: Path, content: bytes | str = JPEG) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def pet_file(name: str) -> str:
    """The pets' files have cats in capitals; the card has class names in lower case."""
    cats = "abyssinian bengal birman bombay british_shorthair egyptian_mau maine_coon persian ragdoll russian_blue"
    return name.title() if name in [*cats.split(), "siamese", "sphynx"] else name


def sun_folders() -> list[str]:
    return ["a/abbey", "a/apartment_building/outdoor", *(f"b/place{i:03d}" for i in range(395))]


def image_id(card: Card, label: int, k: int) -> str:
    """Image k (1 to 6) of a class, named as in the real set, relative to the image folder."""
    number = label * PER_CLASS + k
    if card.name == "oxford_pets":
        assert card.class_names is not None
        return f"{pet_file(card.class_names[label])}_{k}.jpg"
    if card.name == "flowers102":
        return f"image_{number:05d}.jpg"
    if card.name == "fgvc_aircraft":
        return f"{number:07d}.jpg"
    if card.name == "stanford_cars":
        return f"cars_{'test' if k > 4 else 'train'}/{number:05d}.jpg"
    if card.name == "sun397":
        return f"{sun_folders()[label]}/sun_{number:05d}.jpg"
    assert card.folders is not None
    folder = card.folders[label]
    if card.name == "ucf101":
        return f"{folder}/v_{folder.replace('_', '')}_g{k:02d}_c01.jpg"
    return f"{folder}/image_{k:04d}.jpg"


def ids_of(card: Card) -> Iterator[tuple[str, int, int]]:
    for label in range(card.classes):
        for k in range(1, PER_CLASS + 1):
            yield image_id(card, label, k), label, k


def coop_split(card: Card) -> dict[str, list[list[object]]]:
    """A split file's content, rows in no particular order: images 1-3 train, 4 val, 5-6 test."""
    names = card.class_names or tuple(f"class {label}" for label in range(card.classes))
    split: dict[str, list[list[object]]] = {"train": [], "val": [], "test": []}
    for image, label, k in ids_of(card):
        split["train" if k <= 3 else "val" if k == 4 else "test"].append([image, label, names[label]])
    for rows in split.values():
        random.Random(3).shuffle(rows)
    return split


def check_rows(dataset: Dataset, split: dict[str, list[list[object]]]) -> None:
    assert list(dataset.splits) == ["train", "val", "test"]
    for name, rows in split.items():
        assert dataset.splits[name].ids == tuple(row[0] for row in rows)
        assert dataset.splits[name].labels.tolist() == [row[1] for row in rows]
        assert [dataset.class_names[y] for y in dataset.splits[name].labels] == [row[2] for row in rows]


@pytest.mark.parametrize("name", COOP_SETS)
def test_coop_layout_with_its_split_file(name: str, tmp_path: Path) -> None:
    card = CARDS[name]
    images = tmp_path / card.roots[0]
    for image, _, _ in ids_of(card):
        write(images / image)
    split = coop_split(card)
    own = tmp_path / Path(card.roots[0]).parts[0]
    assert card.coop_split is not None
    write(own / card.coop_split, json.dumps(split))

    dataset = load_dataset(name, data_root=tmp_path, download=False)
    check_rows(dataset, split)
    assert json.loads(json.dumps(dataset.provenance))["split"]["file"] == card.coop_split
    assert dataset.reader.read(dataset.splits["test"].ids[0]) == JPEG
    # The same when the data root is the set's own folder, and from a copy in another process.
    again = load_dataset(name, data_root=own, download=False)
    assert listing_of(again) == listing_of(dataset)
    assert pickle.loads(pickle.dumps(again.reader)).read(again.splits["train"].ids[0]) == JPEG


@pytest.mark.parametrize("name", ["eurosat", "ucf101"])
def test_zip_archives_are_read_in_place(name: str, tmp_path: Path) -> None:
    card = CARDS[name]
    inner = card.roots[1]
    with zipfile.ZipFile(tmp_path / card.archives[0], "w") as archive:
        for image, _, _ in ids_of(card):
            archive.writestr(f"{inner}/{image}", JPEG)
        archive.writestr(f"__MACOSX/{inner}/._x.jpg", b"")
    split = coop_split(card)
    assert card.coop_split is not None
    write(tmp_path / card.coop_split, json.dumps(split))
    for root in (tmp_path, tmp_path / card.archives[0]):
        dataset = load_dataset(name, data_root=root, download=False)
        check_rows(dataset, split)
        reader = pickle.loads(pickle.dumps(dataset.reader))
        assert reader.read(dataset.splits["val"].ids[0]) == JPEG
    with pytest.raises(DataError, match="no member"):
        dataset.reader.read("nowhere.jpg")


# Each set's own split, in torchvision's layout: the rows must be those of torchvision's class.


def make_folders(card: Card, root: Path) -> None:
    for image, _, _ in ids_of(card):
        write(root / image)


def make_dtd(root: Path) -> None:
    card = CARDS["dtd"]
    make_folders(card, root / "dtd/dtd/images")
    for split, ks in (("train", (1, 2)), ("val", (3, 4)), ("test", (5, 6))):
        lines = [image for image, _, k in ids_of(card) if k in ks]
        write(root / f"dtd/dtd/labels/{split}1.txt", "\n".join(lines) + "\n")


def make_food101(root: Path) -> None:
    card = CARDS["food101"]
    make_folders(card, root / "food-101/images")
    assert card.folders is not None
    for split, ks in (("train", (1, 2, 3, 4)), ("test", (5, 6))):
        lists = {folder: [f"{folder}/image_{k:04d}" for k in ks] for folder in reversed(card.folders)}
        write(root / f"food-101/meta/{split}.json", json.dumps(lists))


def make_oxford_pets(root: Path) -> None:
    card = CARDS["oxford_pets"]
    make_folders(card, root / "oxford-iiit-pet/images")
    write(root / "oxford-iiit-pet/images/Abyssinian_100.mat")
    for split, ks in (("trainval", (1, 2, 3, 4)), ("test", (5, 6))):
        lines = [f"{image.removesuffix('.jpg')} {label + 1} 1 1" for image, label, k in ids_of(card) if k in ks]
        write(root / f"oxford-iiit-pet/annotations/{split}.txt", "\n".join(lines) + "\n")


def make_fgvc_aircraft(root: Path, base: str = "fgvc-aircraft-2013b/data") -> None:
    card = CARDS["fgvc_aircraft"]
    make_folders(card, root / base / "images")
    names = [f"Boeing {700 + i}-{i}" for i in range(99)] + ["Yak-42"]
    write(root / base / "variants.txt", "\n".join(names) + "\n")
    for split, ks in (("train", (1, 2)), ("val", (3, 4)), ("test", (5, 6))):
        lines = [f"{image.removesuffix('.jpg')} {names[label]}" for image, label, k in ids_of(card) if k in ks]
        write(root / base / f"images_variant_{split}.txt", "\n".join(lines) + "\n")


def make_flowers102(root: Path) -> None:
    card = CARDS["flowers102"]
    make_folders(card, root / "flowers-102/jpg")
    rows = list(ids_of(card))
    savemat(root / "flowers-102/imagelabels.mat", {"labels": np.array([[label + 1 for _, label, _ in rows]])})
    sets = {
        key: np.array([[i for i, (_, _, k) in enumerate(rows, 1) if k in ks]])
        for key, ks in (("trnid", (1, 2)), ("valid", (3, 4)), ("tstid", (5, 6)))
    }
    savemat(root / "flowers-102/setid.mat", sets)


def make_stanford_cars(root: Path) -> None:
    card = CARDS["stanford_cars"]
    base = root / "stanford_cars"
    make_folders(card, base)
    names = [f"Tesla Model {i} Sedan {2012 + i % 5}" for i in range(196)]
    kind = [("bbox_x1", "O"), ("class", "O"), ("fname", "O")]
    (base / "devkit").mkdir()
    savemat(base / "devkit/cars_meta.mat", {"class_names": np.array([names], dtype=object)})
    for split, file in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        rows = [(1, y + 1, image.split("/")[1]) for image, y, _ in ids_of(card) if image.startswith(f"cars_{split}")]
        records = np.empty((1, len(rows)), dtype=kind)
        for place, row in enumerate(rows):
            records[0, place] = row
        savemat(base / file, {"annotations": records})


def make_sun397(root: Path) -> None:
    make_folders(CARDS["sun397"], root / "SUN397")
    write(root / "SUN397/ClassName.txt", "".join(f"/{folder}\n" for folder in sun_folders()))


def relative(dataset: object, base: Path) -> list[tuple[str, int]]:
    """(id, label) of every row of a torchvision data set."""
    files = getattr(dataset, "_image_files", None) or getattr(dataset, "_images", None)
    if files is not None:
        labels = dataset._labels  # type: ignore[attr-defined]
    else:
        files, labels = zip(*(getattr(dataset, "_samples", None) or dataset.samples), strict=True)  # type: ignore[attr-defined]
    return [(Path(f).relative_to(base).as_posix(), int(y)) for f, y in zip(files, labels, strict=True)]


def rows(dataset: Dataset, *splits: str) -> list[tuple[str, int]]:
    return [pair for s in splits for pair in zip(dataset.splits[s].ids, dataset.splits[s].labels.tolist(), strict=True)]


# card: (builder, torchvision class, image folder, torchvision's split -> ours)
Splits = dict[str, tuple[str, ...]]
THREE: Splits = {"train": ("train",), "val": ("val",), "test": ("test",)}
TWO: Splits = {"train": ("train", "val"), "test": ("test",)}
ALL: Splits = {"": ("train", "val", "test")}
NATIVE: dict[str, tuple[Callable[[Path], None], str, str, Splits]] = {
    "dtd": (make_dtd, "DTD", "dtd/dtd/images", THREE),
    "fgvc_aircraft": (make_fgvc_aircraft, "FGVCAircraft", "fgvc-aircraft-2013b/data/images", THREE),
    "flowers102": (make_flowers102, "Flowers102", "flowers-102/jpg", THREE),
    "food101": (make_food101, "Food101", "food-101/images", TWO),
    "oxford_pets": (
        make_oxford_pets,
        "OxfordIIITPet",
        "oxford-iiit-pet/images",
        {"trainval": ("train", "val"), "test": ("test",)},
    ),
    "stanford_cars": (make_stanford_cars, "StanfordCars", "stanford_cars", TWO),
    "sun397": (make_sun397, "SUN397", "SUN397", ALL),
    "eurosat": (lambda root: make_folders(CARDS["eurosat"], root / "eurosat/2750"), "EuroSAT", "eurosat/2750", ALL),
}


SECOND_CLASS = {
    "dtd": "blotchy",
    "eurosat": "Forest",
    "fgvc_aircraft": "Boeing 701-1",
    "flowers102": "hard-leaved pocket orchid",
    "food101": "baby_back_ribs",
    "oxford_pets": "american_bulldog",
    "stanford_cars": "2013 Tesla Model 1 Sedan",
    "sun397": "outdoor apartment_building",
}


@pytest.mark.parametrize("name", NATIVE)
def test_own_split_has_the_rows_of_torchvisions_class(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.datasets

    build, class_name, images, splits = NATIVE[name]
    build(tmp_path)
    theirs = getattr(torchvision.datasets, class_name)
    if name == "flowers102":  # it insists on the real files' checksums
        files = {
            key: (file, hashlib.md5((tmp_path / "flowers-102" / file).read_bytes()).hexdigest())
            for key, file in (("label", "imagelabels.mat"), ("setid", "setid.mat"))
        }
        monkeypatch.setattr(theirs, "_file_dict", {**theirs._file_dict, **files})
    ours = load_dataset(name, data_root=tmp_path, download=False)
    for split, parts in splits.items():
        expected = relative(theirs(tmp_path, split=split) if split else theirs(tmp_path), tmp_path / images)
        assert sorted(rows(ours, *parts)) == sorted(expected)
        assert len(expected) > 0
    assert len(ours.class_names) == CARDS[name].classes
    assert ours.class_names[1] == SECOND_CLASS[name]
    assert ours.reader.read(ours.splits["val"].ids[0]) == JPEG
    assert all(np.bincount(part.labels, minlength=len(ours.class_names)).min() > 0 for part in ours.splits.values())


def test_aircraft_in_coops_layout(tmp_path: Path) -> None:
    make_fgvc_aircraft(tmp_path, base="fgvc_aircraft")
    dataset = load_dataset("FGVC-Aircraft", data_root=tmp_path, download=False)
    assert [len(split) for split in dataset.splits.values()] == [200, 200, 200]
    assert dataset.class_names[99] == "Yak-42"


def test_sun397_partitions(tmp_path: Path) -> None:
    card = CARDS["sun397"]
    make_folders(card, tmp_path / "sun397/SUN397")
    write(tmp_path / "sun397/ClassName.txt", "".join(f"/{folder}\n" for folder in sun_folders()))
    for file, ks in (("Training_01.txt", (1, 2, 3, 4)), ("Testing_01.txt", (5, 6))):
        write(tmp_path / "sun397" / file, "".join(f"/{image}\n" for image, _, k in ids_of(card) if k in ks))
    dataset = load_dataset("sun397", data_root=tmp_path, download=False)
    assert {(i, y) for i, y in rows(dataset, "test")} == {(i, y) for i, y, k in ids_of(card) if k > 4}
    assert len(dataset.splits["val"]) == 397


def test_ucf101_train_test_list(tmp_path: Path) -> None:
    card = CARDS["ucf101"]
    make_folders(card, tmp_path / "ucf101/UCF-101-midframes")
    with pytest.raises(DataError, match="split_zhou_UCF101"):  # never a random split: frames share performers
        load_dataset("ucf101", data_root=tmp_path)
    for split, ks in (("train", (1, 2, 3, 4)), ("test", (5, 6))):
        lines = []
        for image, label, k in ids_of(card):
            folder, file = image.split("/")
            if k in ks:
                lines.append(f"{folder.replace('_', '')}/{file.replace('.jpg', '.avi')} {label + 1}\n")
        write(tmp_path / f"ucf101/ucfTrainTestlist/{split}list01.txt", "".join(lines))
    dataset = load_dataset("ucf101", data_root=tmp_path)
    assert set(rows(dataset, "test")) == {(i, y) for i, y, k in ids_of(card) if k > 4}


def test_caltech101_leaves_out_background_and_second_faces(tmp_path: Path) -> None:
    card = CARDS["caltech101"]
    base = tmp_path / "caltech101/101_ObjectCategories"  # torchvision's layout
    make_folders(card, base)
    for other in ("BACKGROUND_Google", "Faces_easy"):
        write(base / other / "image_0001.jpg")
    dataset = load_dataset("caltech-101", data_root=tmp_path, download=False)
    assert sum(map(len, dataset.splits.values())) == 100 * PER_CLASS
    assert dataset.class_names[:4] == ("face", "leopard", "motorbike", "accordion")
    assert dataset.provenance["split"] == {
        "from": "seeded stratified",
        "seed": 0,
        "fractions": {"train": 0.5, "val": 0.2, "test": 0.3},
    }
    (base / "yin_yang").rename(tmp_path / "away")
    with pytest.raises(DataError, match="lacks 1 of 100 class folders, first yin_yang"):
        load_dataset("caltech101", data_root=tmp_path, download=False)


def test_imagenet(tmp_path: Path) -> None:
    for split, file in (("train", "{0}_7.JPEG"), ("val", "ILSVRC2012_val_{1:08d}.JPEG")):
        for i in range(1000):
            wnid = f"n{1440764 + i:08d}"
            write(tmp_path / "imagenet/images" / split / wnid / file.format(wnid, i))
    dataset = load_dataset("ImageNet", data_root=tmp_path)
    assert list(dataset.splits) == ["train", "test"]  # CoOp's protocol: no val
    assert dataset.splits["train"].ids[1] == "train/n01440765/n01440765_7.JPEG"
    assert dataset.splits["test"].labels.tolist() == list(range(1000))
    assert dataset.class_names[0] == "tench"
    assert [len(spec.templates or ()) for spec in dataset.prompts.values()] == [1, 80, 7]
    (tmp_path / "imagenet/images/val/n01440770/ILSVRC2012_val_00000006.JPEG").unlink()
    with pytest.raises(DataError, match="999 class folders"):
        load_dataset("imagenet", data_root=tmp_path)


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar(name: str, classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets

    theirs = getattr(torchvision.datasets, name.upper())
    generator = np.random.default_rng(0)
    names = [f"kind_{i}" for i in range(classes)]
    labels = list(range(classes)) * 5
    pixels = generator.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    key = "labels" if classes == 10 else "fine_labels"

    def store(file: str, content: object) -> str:
        write(tmp_path / theirs.base_folder / file, pickle.dumps(content))
        return hashlib.md5(pickle.dumps(content)).hexdigest()

    batch = {"data": pixels, key: labels}
    monkeypatch.setattr(theirs, "train_list", [[file, store(file, batch)] for file, _ in theirs.train_list])
    monkeypatch.setattr(theirs, "test_list", [[file, store(file, batch)] for file, _ in theirs.test_list])
    meta = {**theirs.meta, "md5": store(theirs.meta["filename"], {theirs.meta["key"]: names})}
    monkeypatch.setattr(theirs, "meta", meta)

    dataset = load_dataset(name, data_root=tmp_path, download=False)
    assert dataset.class_names == tuple(names)
    batches = len(theirs.train_list)
    assert len(dataset.splits["train"]) + len(dataset.splits["val"]) == batches * len(labels)
    assert len(dataset.splits["val"]) == batches * len(labels) // 5
    assert dataset.splits["test"].labels.tolist() == labels
    reader = pickle.loads(pickle.dumps(dataset.reader))
    np.testing.assert_array_equal(reader.read("test/00003"), pixels[3].reshape(3, 32, 32).transpose(1, 2, 0))
    with pytest.raises(DataError, match="takes no split file"):
        load_dataset(name, data_root=tmp_path, split_file="split.json")


def test_prompt_names_follow_a_split_file_in_another_order(tmp_path: Path) -> None:
    card = CARDS["eurosat"]
    make_folders(card, tmp_path / "2750")
    split = coop_split(card)
    for part in split.values():
        for row in part:
            row[1] = 9 - int(str(row[1]))
    write(tmp_path / "reversed.json", json.dumps(split))
    dataset = load_dataset("eurosat", data_root=tmp_path, split_file=tmp_path / "reversed.json")
    openai = dataset.prompts["openai"].expand(dataset.class_names)
    assert (dataset.class_names[0], openai[0][0]) == ("Sea or Lake", "a centered satellite photo of lake or sea.")
    for part in split.values():
        for row in part:
            row[2] = f"my {row[2]}"
    write(tmp_path / "renamed.json", json.dumps(split))
    assert list(load_dataset("eurosat", data_root=tmp_path, split_file=tmp_path / "renamed.json").prompts) == ["coop"]


DAMAGED = [b"", b"[" * 5000, b"[1]", b'{"apple_pie": 3}', b"\xff\xfe", b"null", b'{"apple_pie": [["x"]]}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_list_of_another_kind_is_a_line(content: bytes, tmp_path: Path) -> None:
    make_food101(tmp_path)
    (tmp_path / "food-101/meta/train.json").write_bytes(content)
    with pytest.raises(DataError, match="Food-101") as told:
        load_dataset("food101", data_root=tmp_path, download=False)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0", bytes(200), b"x" * 300])
def test_a_damaged_mat_file_is_a_line(content: bytes, tmp_path: Path) -> None:
    make_flowers102(tmp_path)
    whole = (tmp_path / "flowers-102/setid.mat").read_bytes()
    for damaged in (content, whole[:150], whole[: len(whole) // 2], whole[:140] + b"\xff" * 40 + whole[180:]):
        (tmp_path / "flowers-102/setid.mat").write_bytes(damaged)
        with pytest.raises(DataError) as told:
            load_dataset("flowers102", data_root=tmp_path, download=False)
        assert "\n" not in str(told.value)
