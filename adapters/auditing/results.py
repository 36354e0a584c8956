"""What an audit found: records, the one JSON object, and a CSV that can be edited into a labels file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.auditing.classes import ClassFacts
from adapters.auditing.names import NearNames, NeverFound
from adapters.auditing.outliers import Outlier
from adapters.auditing.pool import Image
from adapters.auditing.suspects import Suspect
from adapters.auditing.twins import Twins
from featcache.places.whole import write_whole
from featcache.show.spreadsheet import spreadsheet

CSV_COLUMNS = ("id", "label", "suggested", "split", "found", "score", "twin")


@dataclass(frozen=True)
class Leaks:
    """Test images with a twin in train or val.

    Attributes:
        images: which.
        share: of the test images.
        accuracy_with: on all labelled test images, a fraction; None without any.
        accuracy_without: on those without such a twin.
        by: whose accuracy that is: zero-shot with its prompt set, or a run.
    """

    images: tuple[Image, ...]
    share: float
    accuracy_with: float | None
    accuracy_without: float | None
    by: str


@dataclass(frozen=True, eq=False)
class Audit:
    """What is wrong with the data of a cache.

    Attributes:
        cache: its name, `cache_path` where it is, and `cache_digest` what it was made from.
        labels: of mended labels the file, its digest and what it changes; None: the labels are the data set's own.
            `labels_told` says it in a line.
        prompts: name of the prompt set.
        images: readable images of all splits; `labelled` of them have a label.
        share_wrong: expected share of wrong labels; None without labels.
        mislabelled: images whose label is more likely wrong than right, most certain first.
        duplicates: groups of twins, identical ones first.
        twin_cosine: cosine above which images are twins; None where there are too few images to say.
        leaks: test images with a twin in train or val.
        classes: every class.
        never_found: classes that zero-shot never finds.
        near_names: pairs of classes whose texts nearly coincide.
        outliers: images that no class explains, farthest first.
        unreadable: images without an embedding.
        note: what must be known of the embeddings; may be empty.
        own_labels: the class name of every labelled row, by split and row.
        seconds: that it took.
        mended: images to which mended labels gave another label than the data set's, or none.
    """

    cache: str
    cache_path: str
    cache_digest: str
    labels: dict[str, Any] | None
    labels_told: str | None
    prompts: str
    images: int
    labelled: int
    share_wrong: float | None
    mislabelled: tuple[Suspect, ...]
    duplicates: tuple[Twins, ...]
    twin_cosine: float | None
    leaks: Leaks
    classes: tuple[ClassFacts, ...]
    never_found: tuple[NeverFound, ...]
    near_names: tuple[NearNames, ...]
    outliers: tuple[Outlier, ...]
    unreadable: tuple[Image, ...]
    seconds: float
    own_labels: Mapping[tuple[str, int], str] = field(repr=False)
    note: str = ""
    mended: tuple[Image, ...] = ()

    def __repr__(self) -> str:
        found = f"{len(self.mislabelled)} likely mislabelled, {len(self.duplicates)} groups of twins"
        return f"<audit of {self.cache}: {self.images} images, {found}, {len(self.outliers)} outliers>"

    @property
    def small_classes(self) -> list[ClassFacts]:
        """Classes with too few images to measure."""
        return [each for each in self.classes if each.small]

    def to_json(self) -> dict[str, Any]:
        """What `adapters audit --json` prints."""
        return {
            "cache": self.cache,
            "cache_path": self.cache_path,
            "cache_digest": self.cache_digest,
            "labels": self.labels,
            "note": self.note,
            "prompts": self.prompts,
            "images": self.images,
            "labelled": self.labelled,
            "share_wrong": self.share_wrong,
            "mislabelled": [
                {**_told(s.image), "label": s.label, "suggested": s.suggested, "score": s.score}
                for s in self.mislabelled
            ],
            "duplicates": [
                {
                    "ids": [image.id for image in twins.images],
                    "splits": [image.split for image in twins.images],
                    "labels": [self.own_labels.get((image.split, image.row)) for image in twins.images],
                    "cosine": twins.cosine,
                    "identical": twins.identical,
                }
                for twins in self.duplicates
            ],
            "twin_cosine": self.twin_cosine,
            "leaks": {
                "rows": len(self.leaks.images),
                "share": self.leaks.share,
                "accuracy_with": self.leaks.accuracy_with,
                "accuracy_without": self.leaks.accuracy_without,
                "by": self.leaks.by,
                "ids": [image.id for image in self.leaks.images],
            },
            "classes": [
                {"name": c.name, "counts": c.counts, "zero_shot_recall": c.zero_shot_recall, "small": c.small}
                for c in self.classes
            ],
            "never_found": [each._asdict() for each in self.never_found],
            "near_names": [each._asdict() for each in self.near_names],
            "outliers": [{**_told(each.image), "score": each.score} for each in self.outliers],
            "unreadable": [_told(image) for image in self.unreadable],
            "seconds": self.seconds,
        }

    def to_csv(self, path: str | Path) -> None:
        """Write one line an image that something was found of, to be edited and given as `--labels`.

        Its `label` is what the image has: put in another, or nothing to leave the image out. A line that is left as it
        is changes nothing. What labels were mended before is among the lines, so that this file can take the place of
        the one that mended them.
        """
        lines: dict[Image, dict[str, Any]] = {}

        def line(image: Image, found: str) -> dict[str, Any]:
            new: dict[str, Any] = {"suggested": None, "found": [], "score": None, "twin": None}
            of_image = lines.setdefault(image, new)
            of_image["found"].append(found)
            return of_image

        for suspect in self.mislabelled:
            line(suspect.image, "mislabelled").update(suggested=suspect.suggested, score=f"{suspect.score:.4f}")
        for image in self.leaks.images:
            line(image, "leak")
        for twins in self.duplicates:
            for image in twins.images:
                other = next(each for each in twins.images if each != image)
                line(image, "identical" if twins.identical else "twin")["twin"] = other.id
        for outlier in self.outliers:
            line(outlier.image, "outlier")
        for image in self.mended:
            line(image, "mended")
        rows = [
            [
                image.id,
                self.own_labels.get((image.split, image.row)),
                said["suggested"],
                image.split,
                ", ".join(said["found"]),
                said["score"],
                said["twin"],
            ]
            for image, said in lines.items()
        ]
        write_whole(Path(path).expanduser(), spreadsheet(CSV_COLUMNS, rows).encode())

    def to_html(self, path: str | Path) -> None:
        """Write a page to look at, with thumbnails; see `adapters.auditing.page`.

        Raises:
            AdapterError: it cannot be written there.
        """
        from adapters.auditing.page import audit_html
        from adapters.html.document import check_html_file, write_html
        from adapters.html.pictures import pictures_at

        check_html_file(Path(path), "to_html")
        write_html(Path(path), audit_html(self.to_json(), pictures_at(self.cache_path)), "to_html")


def _told(image: Image) -> dict[str, Any]:
    return {"split": image.split, "id": image.id, "row": image.row}
