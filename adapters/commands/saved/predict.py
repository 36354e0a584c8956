"""`adapters predict`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.commands.shared.shared_options import RunName
from adapters.show.numbers import percent
from featcache.commands.shared.options import Device, Json, Model, Pretrained, Root
from featcache.commands.shared.show import show, tell
from featcache.progress import Reporter, Silent, StderrReporter
from featcache.show.page import Facts, Page, Part, Styled, Table

if TYPE_CHECKING:
    from adapters.predicting.out_file import OutFile
    from adapters.predicting.predictor import Prediction, Predictor, Tally

SHOWN = 20
"""Images, and classes, that are shown on a page; files and --json have all."""
QUICK = 64
"""Images that are classified before anybody wants to be told how far it is."""
FLUSHED = 1.0
"""Seconds after which rows are handed to the system."""


def predict(
    run: RunName,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH…",
            help="Image files, folders of them, patterns such as 'photos/**/*.jpg', or - for a path a line on standard "
            "input.",
        ),
    ],
    top_k: Annotated[int, typer.Option(min=1, help="Classes to tell of an image.")] = 5,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "--csv",
            metavar="FILE.csv|.jsonl|.parquet",
            help="Also write a row an image, as they come. Repeated, the same command goes on where it was stopped: "
            "files that have a row are left out, unreadable ones too.",
        ),
    ] = None,
    model: Model = None,
    pretrained: Pretrained = None,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Classify new images with a saved head.

    Loads the very encoder that the head was trained on; embeddings of images that a cache of that encoder has are taken
    from there. Exit status 1 if an image could not be read.
    """
    from adapters.predicting.found import check_paths
    from adapters.predicting.predictor import Predictor

    check_paths(paths)
    file = _opened(out, run, top_k, root) if out else None
    done_before = len(file.done) if file else 0
    predictor = Predictor.load(run, model=model, pretrained=pretrained, root=root, device=device)
    found = Found(predictor, file, done_before, keep=json)
    with closing(file) if file else nullcontext(), _reporting(paths, file) as reporter:
        try:
            for item in predictor.predict(_to_do(paths, file), top_k=top_k):
                found.add(item)
                reporter.advance(1, item.error is not None)
        except KeyboardInterrupt:
            if file:
                tell(f"{len(file.done):,} images have a row; the same command continues where this one stopped")
            raise
    if file:
        file.finish()
    show(found.to_json, lambda: predictions_page(found), json=json)
    if found.tally.failed:
        tell(f"{found.tally.failed:,} of {found.tally.images:,} images could not be read")
        raise typer.Exit(1)


class Found:
    """What came of the images: all of it where it is to be printed as JSON, else counts and the first few.

    Attributes:
        predictor: who answered.
        file: what rows are written to, or None.
        found_there: images that had a row there.
        tally: counts.
        first: answers of the first few readable images.
        unreadable: the first few images that could not be read.
    """

    def __init__(self, predictor: Predictor, file: OutFile | None, found_there: int, *, keep: bool) -> None:
        from adapters.predicting.predictor import Tally

        self.predictor, self.file, self.found_there = predictor, file, found_there
        self.tally: Tally = Tally()
        self.first: list[Prediction] = []
        self.unreadable: list[Prediction] = []
        self._items: list[dict[str, Any]] | None = [] if keep else None
        self._flushed = time.monotonic()

    def add(self, item: Prediction) -> None:
        """Count an answer, and write it."""
        from adapters.predicting.rows import item_json

        self.tally.add(item)
        some = self.first if item.error is None else self.unreadable
        if len(some) < SHOWN:
            some.append(item)
        if self._items is not None:
            self._items.append(item_json(item))
        if self.file:
            self.file.write(item)
            if time.monotonic() - self._flushed > FLUSHED:
                self.file.flush()
                self._flushed = time.monotonic()

    def to_json(self) -> dict[str, Any]:
        """The object that `adapters predict --json` prints."""
        return {
            "run": self.predictor.run,
            "method": self.predictor.method,
            "model": self.predictor.model,
            "note": self.predictor.note,
            "reused": dict(self.tally.caches),
            "found_there": self.found_there,
            "items": self._items or [],
            "failed": self.tally.failed,
        }


def _opened(out: Path, run: str, top_k: int, root: str | None) -> OutFile:
    """The file, before the work: whether it can be written, and is of this run."""
    from adapters.head_files import read_config
    from adapters.predicting.out_file import OutFile
    from adapters.predicting.predictor import run_identity
    from adapters.runs.catalogue import find_run

    saved = find_run(run, root=root)
    config = read_config(saved.path)
    return OutFile(out, run_identity(saved.name, config), min(top_k, len(config.get("class_names", ()))))


def _to_do(paths: list[str], file: OutFile | None) -> Iterator[Any]:
    """What has no row yet; with a file each image once."""
    from adapters.predicting.found import find_images

    asked = set[str]()  # they are taken well before they have a row
    for image in find_images(paths):
        if file is not None:
            name = image if isinstance(image, str) else image.id
            if file.has(name) or name in asked:
                continue
            asked.add(name)
        yield image


def _reporting(paths: list[str], file: OutFile | None) -> AbstractContextManager[Reporter]:
    """Progress, where there is enough to do."""
    from adapters.predicting.found import STANDARD_INPUT

    total = None if STANDARD_INPUT in paths else _count(_to_do(paths, file))
    if total is not None and total <= QUICK:
        return nullcontext(Silent())
    reporter = StderrReporter()
    reporter.start("Classifying", total)
    return reporter


def _count(images: Iterable[Any]) -> int:
    return sum(1 for _ in images)


def predictions_page(found: Found) -> Page:
    """What came of many images in numbers, the most probable classes of the first few, and why some have none."""
    first, tally, predictor = found.first, found.tally, found.predictor
    most = max((len(item.top) for item in first), default=0)
    with_sets = any(item.set is not None for item in first)
    title = f"{predictor.name} · {predictor.model}"
    parts: list[Part] = [Facts(_counts(found), title=title)]
    if tally.images > SHOWN:
        parts += _classes(tally)
    if first:
        rows = [_row(item, most) for item in first]
        columns = ("image", *(f"{rank + 1}." for rank in range(most)), *(["set"] if with_sets else []))
        parts.append(Table(columns, rows, title="The first images" if tally.images - tally.failed > SHOWN else ""))
    parts += [Styled(f"{item.id}: {item.error}", "red") for item in found.unreadable]
    if tally.failed > len(found.unreadable):
        parts.append(Styled(f"and {tally.failed - len(found.unreadable):,} more that cannot be read", "red"))
    return Page([*parts, *([predictor.note] if predictor.note else [])])


def _counts(found: Found) -> list[tuple[str, str]]:
    from featcache.encoding.known import told

    tally = found.tally
    rows = [("images", f"{tally.images:,}")]
    if tally.rejected is not None:
        rows.append(("none of these", f"{tally.rejected:,}"))
    if tally.failed:
        rows.append(("unreadable", Styled(f"{tally.failed:,}", "red")))
    if tally.caches:
        rows.append(("not encoded", f"embeddings taken from caches: {told(tally.caches)}"))
    if found.file:
        before = f", {found.found_there:,} of them found there" if found.found_there else ""
        rows.append(("written", f"{found.file.path}: {len(found.file.done):,} images{before}"))
    return rows


def _classes(tally: Tally) -> Iterator[Part]:
    counted = tally.classes.most_common()
    told = tally.images - tally.failed
    rows = [(name, f"{count:,}", percent(count / told)) for name, count in counted[:SHOWN]]
    yield Table(("class", "images", "share"), rows, numbers=("images", "share"))
    if len(counted) > SHOWN:
        yield f"and {len(counted) - SHOWN:,} more classes"


def _row(item: Prediction, most: int) -> list[str]:
    ranked = [f"{entry.name} {percent(entry.probability)}" for entry in item.top]
    if item.rejected:
        ranked[0] = Styled(f"none of these ({ranked[0]})", "yellow")
    in_set = [] if item.set is None else [", ".join(item.set) or "(none)"]
    return [item.id, *ranked, *[""] * (most - len(ranked)), *in_set]
