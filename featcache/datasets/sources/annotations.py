"""Exports of annotation tools, where they give each image one label: COCO, Label Studio, FiftyOne, CVAT.

| tool | file | an image's label |
|---|---|---|
| COCO | `.json`: images, annotations, categories | the category of its annotations, if they have one |
| Label Studio | `.json`: a list of tasks; also JSON-MIN | its one choice |
| FiftyOne | `labels.json` beside `data/` (FiftyOneImageClassificationDataset) | its class |
| CVAT | `.xml` (CVAT for images) | its one tag |

Images are looked for as those of a table are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from xml.etree import ElementTree

from featcache.datasets.listing import SPLIT_NAMES
from featcache.datasets.sources.source import Asked, Opened, Source
from featcache.datasets.sources.tables.table import open_listed, splits_of
from featcache.errors import DataError, in_a_line
from featcache.records import parse_json

FIFTYONE, DATA = "labels.json", "data"


class Labelled(NamedTuple):
    """An image, the labels that it has, and the split that it is of; None: none is said."""

    image: str
    labels: frozenset[str]
    split: str | None = None


def recognises(asked: Asked) -> bool:
    """A JSON or XML file, or FiftyOne's folder."""
    if asked.is_url or not asked.exists:
        return False
    return asked.suffix in (".json", ".xml") or (
        asked.is_folder and all((asked.path / name).exists() for name in (FIFTYONE, DATA))
    )


def open_annotations(asked: Asked) -> Opened:
    """List the images of an export.

    Raises:
        DataError: It is of none of these tools, images have several labels, or as `open_listed`.
    """
    asked.take_no_split_file("its splits are the export's")
    asked.take_no_class_depth()
    file = asked if not asked.is_folder else replace(asked, dataset=str(asked.path / FIFTYONE))
    tool, images = _read(file)
    several = [image for image in images if len(image.labels) > 1]
    if several:
        first = several[0]
        raise DataError(
            f"{file.where}: {len(several)} of {len(images)} images have several labels, first {first.image} "
            f"({', '.join(sorted(first.labels)[:3])}): an image has one class here; leave these out, or write a CSV"
        )
    named = {image.split for image in images}
    in_splits = named <= set(SPLIT_NAMES)
    rows = [
        (image.image, next(iter(image.labels), ""), SPLIT_NAMES[str(image.split)] if in_splits else "train")
        for image in images
    ]
    if not rows:
        raise DataError(f"{file.where} lists no images: export it again")
    found = splits_of(rows, [f"export of: {tool}"])
    opened = open_listed(file, found, splits_from=f"{tool}'s subsets", names_from=f"labels in {file.file_name}")
    return replace(opened, name=asked.name, where=asked.where)


def _read(asked: Asked) -> tuple[str, list[Labelled]]:
    """Which tool wrote a file, and its images."""
    content = asked.folder.read(asked.file_name)
    try:
        if asked.suffix == ".xml":
            return "CVAT", list(_cvat(ElementTree.fromstring(content)))
        value = parse_json(content.decode("utf-8-sig"))
        for tool, (is_its, images) in _TOOLS.items():
            if is_its(value):
                return tool, list(images(value))
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{asked.where} is damaged ({in_a_line(error)}): export it again") from error
    raise DataError(
        f"{asked.where} is no export of {', '.join(_TOOLS)} or CVAT: give one of these, or a CSV of path,label; CoOp's "
        "split files go with --split-file"
    )


def _coco(value: Mapping[str, Any]) -> Iterable[Labelled]:
    names = {each["id"]: str(each["name"]) for each in value["categories"]}
    labels = defaultdict[Any, set[str]](set)
    for each in value["annotations"]:
        labels[each["image_id"]].add(names[each["category_id"]])
    return (Labelled(each["file_name"], frozenset(labels[each["id"]])) for each in value["images"])


def _label_studio(value: Iterable[Mapping[str, Any]]) -> Iterable[Labelled]:
    for task in value:
        data = task.get("data", task)  # JSON-MIN has no data
        image = next(data[name] for name in ("image", "img", "url", "file_upload") if name in data)
        yield Labelled(_uploaded(str(image)), frozenset(_choices(task)))


def _choices(task: Mapping[str, Any]) -> set[str]:
    if "annotations" not in task:
        choice = task.get("choice", task.get("label", []))
        choice = choice.get("choices", []) if isinstance(choice, dict) else choice
        return {choice} if isinstance(choice, str) else set(map(str, choice))
    done = [each for each in task["annotations"] if not each.get("was_cancelled")]
    return {str(one) for each in done for part in each["result"] for one in part["value"].get("choices", [])}


def _uploaded(image: str) -> str:
    """The file of an image as Label Studio names it: `/data/local-files/?d=cats/1.jpg`, `/data/upload/3/1.jpg`."""
    if "?d=" in image:
        return image.partition("?d=")[2]
    return image.partition("/data/upload/")[2].partition("/")[2] or image


def _fiftyone(value: Mapping[str, Any]) -> Iterable[Labelled]:
    classes = value.get("classes")
    for image, label in value["labels"].items():
        label = label.get("label") if isinstance(label, dict) else label
        words = [] if label is None else label if isinstance(label, list) else [label]
        numbers = [each for each in words if isinstance(each, int)] if classes else []
        if min(numbers, default=0) < 0:  # which Python would count from the end
            raise ValueError(f"{image} has the label {min(numbers)}")
        named = (str(classes[each]) if classes and isinstance(each, int) else str(each) for each in words)
        yield Labelled(image, frozenset(named))


def _cvat(root: ElementTree.Element) -> Iterable[Labelled]:
    if root.tag != "annotations":
        raise ValueError(f"it begins with <{root.tag}>, CVAT's with <annotations>")
    for image in root.iter("image"):
        subset = image.get("subset")
        split = subset.lower() if subset else None
        yield Labelled(image.attrib["name"], frozenset(tag.attrib["label"] for tag in image.iter("tag")), split)


_TOOLS: Mapping[str, tuple[Callable[[Any], bool], Callable[[Any], Iterable[Labelled]]]] = {
    "COCO": (lambda value: isinstance(value, dict) and {"images", "annotations", "categories"} <= set(value), _coco),
    "FiftyOne": (lambda value: isinstance(value, dict) and isinstance(value.get("labels"), dict), _fiftyone),
    "Label Studio": (
        lambda value: isinstance(value, list) and all(isinstance(each, dict) for each in value),
        _label_studio,
    ),
}

ANNOTATIONS = Source(recognises=recognises, open=open_annotations, takes_table_options=True)
