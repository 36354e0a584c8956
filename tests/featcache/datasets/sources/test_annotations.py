"""Exports of annotation tools, and CUB's lists: one label an image opens, several are counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featcache.datasets.load import load_dataset
from featcache.errors import DataError
from tests.featcache.datasets.sources.tables.test_tables_as_people_have_them import ROWS, rows, told
from tests.pictures import make_class_folders

Write = Callable[[Path, list[tuple[str, list[str]]]], Path]
EXPECTED = sorted((f"images/{path}", label) for path, label in ROWS)
ONE_EACH = [(path, [label]) for path, label in ROWS]


def coco(root: Path, images: list[tuple[str, list[str]]]) -> Path:
    names = sorted({label for _, labels in images for label in labels})
    content = {
        "images": [{"id": number, "file_name": f"images/{path}"} for number, (path, _) in enumerate(images)],
        "categories": [{"id": 10 + place, "name": name} for place, name in enumerate(names)],
        "annotations": [
            {"image_id": number, "category_id": 10 + names.index(label), "bbox": [0, 0, 1, 1]}
            for number, (_, labels) in enumerate(images)
            for label in (labels * 2)
        ],
    }
    return write(root / "instances.json", content)


def label_studio(root: Path, images: list[tuple[str, list[str]]]) -> Path:
    content = [
        {
            "data": {"image": f"/data/local-files/?d=images/{path}"},
            "annotations": [{"result": [{"type": "choices", "value": {"choices": labels}}]}],
        }
        for path, labels in images
    ]
    return write(root / "project-1.json", content)


def label_studio_min(root: Path, images: list[tuple[str, list[str]]]) -> Path:
    content = [
        {"image": f"images/{path}", "choice": labels[0] if len(labels) == 1 else {"choices": labels}}
        for path, labels in images
    ]
    return write(root / "project-min.json", content)


def fiftyone(root: Path, images: list[tuple[str, list[str]]]) -> Path:
    (root / "images").rename(root / "data")
    names = sorted({label for _, labels in images for label in labels})
    labels = {
        path.removesuffix(".png"): names.index(words[0]) if len(words) == 1 else [names.index(word) for word in words]
        for path, words in images
    }
    write(root / "labels.json", {"classes": names, "labels": labels})
    return root


def cvat(root: Path, images: list[tuple[str, list[str]]]) -> Path:
    lines = [
        f'<image id="0" name="images/{path}">' + "".join(f'<tag label="{label}"/>' for label in labels) + "</image>"
        for path, labels in images
    ]
    (root / "annotations.xml").write_text(f"<annotations><version>1.1</version>{''.join(lines)}</annotations>")
    return root / "annotations.xml"


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


TOOLS = [coco, label_studio, label_studio_min, fiftyone, cvat]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_class_folders(tmp_path / "images", {"a": 4, "b": 4})
    return tmp_path


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.__name__)
def test_one_label_an_image_opens(tool: Write, root: Path) -> None:
    dataset = load_dataset(str(tool(root, ONE_EACH)))
    home = "data/" if tool is fiftyone else "images/"
    assert rows(dataset) == sorted((f"{home}{path}", label) for path, label in ROWS)
    assert told(dataset)[0].startswith("export of: ")


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.__name__)
def test_several_labels_are_counted_and_none_is_none(tool: Write, root: Path) -> None:
    several = [(path, ["ant", "bée"] if place < 3 else [label]) for place, (path, label) in enumerate(ROWS)]
    with pytest.raises(DataError, match=r"3 of 8 images have several labels, first .*000.* \(ant, bée\): "):
        load_dataset(str(tool(root, several)))


def test_subsets_of_cvat_are_splits(root: Path) -> None:
    path = cvat(root, ONE_EACH)
    parts = iter(["Train", "Test"] * 4)
    words = path.read_text().split("<image ")
    path.write_text("<image ".join([words[0], *(f'subset="{next(parts)}" {word}' for word in words[1:])]))
    assert {name: len(split) for name, split in load_dataset(str(path)).splits.items()} == {"train": 4, "test": 4}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.json", "{", "is damaged .*: export it again"),
        ("x.json", '{"train": []}', "is no export of COCO, FiftyOne, Label Studio or CVAT: .* go with --split-file"),
        ("x.json", '{"images": [{}], "annotations": [], "categories": []}', "is damaged"),
        ("x.json", "[]", "lists no images"),
        ("x.json", '{"classes": ["a", "b"], "labels": {"1": -1}}', r"is damaged \(1 has the label -1\)"),
        ("x.xml", "<a/>", "begins with <a>"),
        ("x.xml", "<a", "is damaged"),
    ],
)
def test_what_is_no_export_is_told_in_a_line(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def cub(root: Path) -> Path:
    number = {path: str(place) for place, (path, _) in enumerate(ROWS, start=1)}
    classes = {"ant": "001.ant", "bée": "002.bée"}
    lists = {
        "images": [(number[path], path) for path, _ in ROWS],
        "image_class_labels": [(number[path], list(classes).index(label) + 1) for path, label in ROWS],
        "classes": list(enumerate(classes.values(), start=1)),
        "train_test_split": [(number[path], int(place % 4 < 2)) for place, (path, _) in enumerate(ROWS)],
    }
    for name, pairs in lists.items():
        (root / f"{name}.txt").write_text("".join(f"{one} {other}\n" for one, other in pairs))
    return root


def test_lists_as_of_cub_open(root: Path) -> None:
    dataset = load_dataset(str(cub(root)))
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 4, "test": 4}
    assert dataset.class_names == ("ant", "bée")
    assert list(dataset.splits["train"].ids) == ["a/000.png", "a/001.png", "b/000.png", "b/001.png"]
    (root / "train_test_split.txt").write_text("1 1\n")
    with pytest.raises(DataError, match="its lists do not fit one another, first at '2'"):
        load_dataset(str(root))
