"""What an audit found, to look at: the images as thumbnails beside what is said of them, and the classes as a table.

A page is made of the one object that `adapters audit --json` prints, so that one which was kept can be looked at later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from adapters.html.cards import Card, Group, classes_in
from adapters.html.document import render
from adapters.html.pictures import Pictures
from adapters.html.tables import Cell, bar, number
from adapters.show.numbers import MISSING, percent
from featcache.records import checked

SHOWN = 40
"""Images of a kind that are shown."""
TWINS_SHOWN = 3
"""Images of a group of twins beside its first."""


class ImageFound(TypedDict):
    """Which image."""

    split: str
    id: str


class SuspectFound(ImageFound):
    """An image whose label is likely wrong."""

    label: str
    suggested: str
    score: float


class OutlierFound(ImageFound):
    """An image that no class explains."""

    score: float


class TwinsFound(TypedDict):
    """Images that are one picture."""

    ids: list[str]
    splits: list[str]
    labels: list[str | None]
    cosine: float
    identical: bool


class LeaksFound(TypedDict):
    """Test images with a twin in train or val."""

    rows: int
    share: float
    accuracy_with: float | None
    accuracy_without: float | None
    by: str
    ids: list[str]


class ClassFound(TypedDict):
    """A class."""

    name: str
    counts: dict[str, int]
    zero_shot_recall: float | None
    small: bool


class NameFound(TypedDict):
    """A class that zero-shot never finds."""

    name: str
    images: int
    taken_for: str
    prompts: str | None
    recall: float


class PairFound(TypedDict):
    """Two classes whose texts nearly coincide."""

    one: str
    other: str
    cosine: float
    accuracy: float | None
    prompts: str | None
    best: float | None


class Found(TypedDict):
    """What of an audit's JSON the page is made of."""

    cache: str
    cache_path: str
    prompts: str
    images: int
    labelled: int
    share_wrong: float | None
    mislabelled: list[SuspectFound]
    duplicates: list[TwinsFound]
    twin_cosine: float | None
    leaks: LeaksFound
    classes: list[ClassFound]
    never_found: list[NameFound]
    near_names: list[PairFound]
    outliers: list[OutlierFound]
    unreadable: list[ImageFound]


def audit_html(content: Mapping[str, Any], pictures: Pictures) -> str:
    """The page of what `adapters audit --json` printed.

    Raises:
        Malformed: it is something else; the message names the field.
    """
    found = checked(content, Found)
    labels = content.get("labels")
    groups = [_mislabelled(found, pictures), _leaks(found, pictures), _twins(found, pictures)]
    groups += [_outliers(found, pictures), _unreadable(found, pictures)]
    mended = [("labels", f"mended by {labels['file']}")] if isinstance(labels, dict) and "file" in labels else []
    return render(
        "audit.html",
        kind="audit",
        title=f"What is wrong with {found['cache']}",
        facts=[
            ("images", f"{found['images']:,} of all splits, {found['labelled']:,} with a label"),
            ("prompts", found["prompts"]),
            *mended,
        ],
        notes=[pictures.told] if pictures.told else [],
        tiles=_tiles(found),
        groups=groups,
        class_names=classes_in(groups),
        class_columns=[("class", "text"), ("chart", "drawn"), ("zero-shot recall", "number")]
        + [(split, "number") for split in _splits(found)]
        + [("images", "number")],
        classes=_classes(found),
        never_columns=[
            ("class", "text"),
            ("images", "number"),
            ("taken for", "text"),
            ("prompts that find it", "text"),
        ],
        never=[
            [
                Cell(each["name"]),
                number(f"{each['images']:,}", each["images"]),
                Cell(each["taken_for"]),
                Cell(f"{each['prompts']} {percent(each['recall'])}" if each["prompts"] else "none"),
            ]
            for each in found["never_found"]
        ],
        near_columns=[("classes", "text"), ("cosine", "number"), ("told apart", "number"), ("better prompts", "text")],
        near=[
            [
                Cell(f"{each['one']} / {each['other']}"),
                number(f"{each['cosine']:.4f}", each["cosine"]),
                number(percent(each["accuracy"]) or MISSING, each["accuracy"]),
                Cell(MISSING if each["best"] is None else f"{each['prompts']} {percent(each['best'])}"),
            ]
            for each in found["near_names"]
        ],
        pictures=pictures.made,
    )


def _tiles(found: Found) -> list[tuple[str, str]]:
    leaks = found["leaks"]
    return [
        (f"{len(found['mislabelled']):,}", "labels are more likely wrong than right"),
        (f"{leaks['rows']:,}", f"leaks: {percent(leaks['share'])} of the test images have a twin in train or val"),
        (
            f"{len(found['duplicates']):,}",
            f"groups of twins, {sum(t['identical'] for t in found['duplicates']):,} identical",
        ),
        (f"{len(found['outliers']):,}", "images that no class explains"),
        (f"{len(found['never_found']):,}", f"of {len(found['classes']):,} classes are never found by zero-shot"),
    ]


def _told(kind: str, count: int) -> str:
    return kind if count <= SHOWN else f"{kind} The first {SHOWN} of {count:,}."


def _mislabelled(found: Found, pictures: Pictures) -> Group:
    cards = [
        Card(
            pictures.of(each["id"], each["label"]),
            each["split"],
            [("label", each["label"]), ("wrong", percent(each["score"])), ("perhaps", each["suggested"])],
            classes=(each["label"], each["suggested"]),
            certainty=each["score"],
        )
        for each in found["mislabelled"][:SHOWN]
    ]
    said = "Every image is judged without itself; the surest first."
    return Group("Likely mislabelled", _told(said, len(found["mislabelled"])), cards)


def _leaks(found: Found, pictures: Pictures) -> Group:
    """Test images, each beside its twins in train and val."""
    leaks, cards = found["leaks"], []
    of_image = {
        image_id: twins
        for twins in found["duplicates"]
        for image_id, split in zip(twins["ids"], twins["splits"], strict=True)
        if split == "test"
    }
    for image_id in leaks["ids"][:SHOWN]:
        twins = of_image.get(image_id)
        others = [] if twins is None else [o for o in _others(twins, (image_id, "test")) if o[1] in ("train", "val")]
        own = None if twins is None else twins["labels"][twins["ids"].index(image_id)]
        cards.append(
            Card(
                pictures.of(image_id, own or ""),
                "test",
                [("label", own or "none"), *([] if twins is None else [_alike(twins)])],
                [pictures.of(other, _of(split, label)) for other, split, label in others[:TWINS_SHOWN]],
                "its twins to learn from",
                tuple(dict.fromkeys(filter(None, [own, *(label for *_, label in others)]))),
            )
        )
    accuracy = [percent(leaks[name]) or MISSING for name in ("accuracy_with", "accuracy_without")]
    said = f"Accuracy of {leaks['by']} is {accuracy[0]} with them and {accuracy[1]} without."
    return Group("Leaks", _told(said, len(leaks["ids"])), cards)


def _twins(found: Found, pictures: Pictures) -> Group:
    cards = []
    for twins in found["duplicates"][:SHOWN]:
        image_id, split, label = twins["ids"][0], twins["splits"][0], twins["labels"][0]
        differ = [("labels", "differ")] if len(set(twins["labels"])) > 1 else []
        cards.append(
            Card(
                pictures.of(image_id, label or ""),
                split,
                [("label", label or "none"), _alike(twins), *differ],
                [pictures.of(o, _of(s, name)) for o, s, name in _others(twins, (image_id, split))[:TWINS_SHOWN]],
                f"its {len(twins['ids']) - 1} twin{'s' if len(twins['ids']) > 2 else ''}",
                tuple(dict.fromkeys(filter(None, twins["labels"]))),
            )
        )
    limit = found["twin_cosine"]
    near = "too few images to say which are near" if limit is None else f"near ones have a cosine above {limit:.4f}"
    return Group("Twins", _told(f"Images that are there twice; {near}.", len(found["duplicates"])), cards)


def _outliers(found: Found, pictures: Pictures) -> Group:
    cards = [
        Card(pictures.of(each["id"]), each["split"], [("distance", f"{each['score']:.2f} times the limit")])
        for each in found["outliers"][:SHOWN]
    ]
    return Group("Images that no class explains", _told("The farthest first.", len(found["outliers"])), cards)


def _unreadable(found: Found, pictures: Pictures) -> Group:
    cards = [Card(pictures.unread(each["id"]), each["split"]) for each in found["unreadable"][:SHOWN]]
    return Group("Unreadable images", _told("They have no embedding.", len(found["unreadable"])), cards)


def _others(twins: TwinsFound, but: tuple[str, str]) -> list[tuple[str, str, str | None]]:
    every = zip(twins["ids"], twins["splits"], twins["labels"], strict=True)
    return [each for each in every if each[:2] != but]


def _alike(twins: TwinsFound) -> tuple[str, str]:
    return "twins", "identical" if twins["identical"] else f"cosine {twins['cosine']:.4f}"


def _of(split: str, label: str | None) -> str:
    return f"{split}: {label or 'none'}"


def _splits(found: Found) -> list[str]:
    return list(dict.fromkeys(split for each in found["classes"] for split in each["counts"]))


def _classes(found: Found) -> list[list[Cell]]:
    """The classes, that which zero-shot finds least first."""
    rows = []
    for each in found["classes"]:
        recall, images = each["zero_shot_recall"], sum(each["counts"].values())
        told = percent(recall) or MISSING
        rows.append(
            [
                Cell(each["name"] + (" (too few to measure)" if each["small"] else "")),
                number(bar(f"{each['name']}: zero-shot recall {told}", recall, None), recall),
                number(told, recall),
                *(number(f"{each['counts'].get(s, 0):,}", each["counts"].get(s, 0)) for s in _splits(found)),
                number(f"{images:,}", images),
            ]
        )
    return sorted(rows, key=lambda row: 2.0 if row[2].key == "" else float(row[2].key or 0))
