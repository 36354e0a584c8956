"""What is suggested: records, the one JSON object, a CSV to fill in and give as `--labels`, a page of thumbnails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from adapters.errors import AdapterError
from featcache.cache.labels_file import Line, read_labels_file
from featcache.errors import CacheError
from featcache.places.whole import write_whole
from featcache.show.spreadsheet import spreadsheet

CSV_COLUMNS = ("id", "label", "predicted", "split", "reason", "score")


class Suggestion(NamedTuple):
    """An image to label.

    `score` is the share of all that is to be stood for that it adds (`suggesting.covering`); None for one that is drawn
    to measure on. `predicted` is the most probable class, by the run or by zero-shot; None where there are no classes.
    """

    split: str
    id: str
    row: int
    score: float | None
    reason: str
    predicted: str | None


@dataclass(frozen=True, eq=False)
class Suggestions:
    """Images to label, the first one first.

    Attributes:
        cache: its name, and `cache_digest` what it was made from.
        run: the saved head that says what is uncertain; None: none does.
        labels: of mended labels the file, its digest and what it changes; None: the labels are the data set's own.
        unlabelled: images that could be suggested; `labelled` those that count as known.
        items: what is suggested.
        note: what must be said beside it; may be empty.
        seconds: that it took.
        lines: what the file of mended labels said, which is written out again with what is to be filled in.
        manifest: of the cache, by which pictures are found.
    """

    cache: str
    cache_digest: str
    run: str | None
    labels: dict[str, Any] | None
    unlabelled: int
    labelled: int
    items: tuple[Suggestion, ...]
    note: str
    seconds: float
    lines: tuple[Line, ...] = field(repr=False)
    manifest: Mapping[str, object] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """What `adapters suggest --json` prints."""
        return {
            "cache": self.cache,
            "cache_digest": self.cache_digest,
            "run": self.run,
            "labels": self.labels,
            "unlabelled": self.unlabelled,
            "labelled": self.labelled,
            "items": [item._asdict() for item in self.items],
            "note": self.note,
            "seconds": self.seconds,
        }

    def to_csv(self, path: str | Path) -> None:
        """Write one line an image, whose `label` is to be filled in; the file is then a `--labels` file.

        What the mended labels said that this began with comes before, so that one file holds all.

        Raises:
            AdapterError: the file holds labels that these suggestions do not know of.
        """
        place = Path(path).expanduser()
        check_not_filled_in(place, None if self.labels is None else str(self.labels["file"]))
        known = [(line.id, line.label, None, line.split, None, None) for line in self.lines]
        there = {(line.split, line.id) for line in self.lines}
        rows = [
            (
                item.id,
                None,
                item.predicted,
                item.split,
                item.reason,
                None if item.score is None else f"{item.score:.4f}",
            )
            for item in self.items
            if (item.split, item.id) not in there
        ]
        write_whole(place, spreadsheet(CSV_COLUMNS, [*known, *rows]).encode())

    def to_html(self, path: str | Path) -> None:
        """Write a page of thumbnails, in the order of the suggestions; a missing image is a grey box with its id.

        Raises:
            AdapterError: the file cannot be written.
        """
        from adapters.html.cards import Card, Group, cards_page
        from adapters.html.document import check_html_file, write_html
        from adapters.html.pictures import pictures_of

        check_html_file(Path(path), "--html")
        pictures = pictures_of(self.manifest)
        cards = [
            Card(
                pictures.of(item.id),
                item.split,
                [("why", item.reason), *([("predicted", item.predicted)] if item.predicted else [])],
                classes=[item.predicted] if item.predicted else [],
            )
            for item in self.items
        ]
        group = Group(
            "The first one first", "Typical images, different from each other and from what has a label.", cards
        )
        page = cards_page(
            f"What to label next in {self.cache}",
            [group],
            pictures,
            facts=[("images", f"{len(self.items):,} of {self.unlabelled:,} without a label"), ("by", self.by)],
            notes=list(filter(None, [self.note])),
        )
        write_html(Path(path), page, "--html")

    @property
    def by(self) -> str:
        """What ranked them, in words."""
        return f"what {self.run} is uncertain of" if self.run else "how typical they are, without a head"


def check_not_filled_in(place: Path, labels: str | None) -> None:
    """Refuse to replace a file that somebody has filled in, unless what it says is kept.

    Args:
        place: what is about to be written.
        labels: the file of mended labels that is written out again, absolute; None: there is none.

    Raises:
        AdapterError: it holds labels.
    """
    if not place.exists() or str(place.resolve()) == labels:
        return
    try:
        given = sum(bool(line.label) for line in read_labels_file(place).lines)
    except CacheError:
        return  # no file of labels
    if given:
        raise AdapterError(
            f"{place} holds {given} labels, which would be lost: give another file, "
            f"or --labels {place} to go on from it"
        )
