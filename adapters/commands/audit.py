"""`adapters audit`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.commands.shared.caches import open_caches
from adapters.commands.shared.html_option import Html, check_html, write_page
from adapters.commands.shared.shared_options import Joined, Labels, Prompts, Weights
from adapters.joining.places import typed
from adapters.show.numbers import MISSING, percent
from adapters.show.output_files import check_output
from featcache.commands.shared.options import Device, Json, Root
from featcache.commands.shared.show import show, tell
from featcache.commands.shared.words import images
from featcache.places.again import again
from featcache.show.page import Facts, Page, Part, Table, Typed

if TYPE_CHECKING:
    from adapters.auditing.results import Audit
    from adapters.html.pictures import Pictures
    from featcache.cache.reading import Cache

FIRST = 5
"""Findings of a kind that are shown; --json and --csv hold all."""


def audit(
    cache: Annotated[
        str | None,
        typer.Argument(metavar="[CACHE]", help="A cache's name, folder or URL. Default: the one extracted last."),
    ] = None,
    others: Joined = None,
    weights: Weights = None,
    labels: Labels = None,
    run: Annotated[
        str | None, typer.Option(help="A saved head to tell the accuracy of without leaks. Default: zero-shot.")
    ] = None,
    prompts: Prompts = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="Also write what was found to this CSV file, to be edited and given as --labels."),
    ] = None,
    html: Html = None,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Look for what is wrong with the data: wrong labels, duplicates, leaks into test, names, outliers.

    Works on the cached features of all splits; nothing is encoded and nothing is changed.
    """
    from adapters.auditing.audit import audit

    check_html(html)
    if csv:
        check_output(csv, "--csv")
    opened = open_caches([*filter(None, [cache]), *(others or [])], weights, root, labels)
    found = audit(opened, prompts=prompts, run=run, root=root, device=device)
    if csv:
        found.to_csv(csv)
    show(found.to_json, lambda: audit_page(found, csv, root), json=json)
    write_page(html, lambda: _html(found, opened))
    if csv:
        tell(f"{csv} lists what was found; edit its column label, then type it as --labels {shlex.quote(str(csv))}")


def _html(found: Audit, cache: Cache) -> tuple[str, Pictures]:
    from adapters.auditing.page import audit_html
    from adapters.html.pictures import pictures_of

    pictures = pictures_of(cache.manifest)
    return audit_html(found.to_json(), pictures), pictures


def audit_page(found: Audit, csv: Path | None = None, root: str | None = None) -> Page:
    """Counts, then the first few of each kind, then what to type next."""
    parts: list[Part] = [Facts(_counts(found), f"{found.cache}: {images(found.images)} of all splits")]
    parts += _mislabelled(found)
    parts += _twins(found)
    parts += _names(found)
    parts += _outliers(found)
    cache = typed(found.cache_path, found.cache)
    if csv is None:
        labels = f" --labels {shlex.quote(found.labels['file'])}" if found.labels else ""
        next_step = f"adapters audit {cache.removeprefix('--cache ')}{labels} --csv FILE"
    else:
        next_step = f"adapters fit --shots 4 {cache} --labels {shlex.quote(str(csv))}"
    return Page([*parts, Facts([("next", Typed(next_step + again(root)))])])


def _counts(found: Audit) -> list[tuple[str, str]]:
    leaks, twins = found.leaks, found.duplicates
    identical = sum(each.identical for each in twins)
    told = [
        ("mislabelled", f"{len(found.mislabelled):,} of {found.labelled:,} labels are more likely wrong than right"),
        ("twins", f"{len(twins):,} groups, {identical:,} of them identical" + _above(found.twin_cosine)),
        (
            "leaks",
            f"{len(leaks.images):,} test images ({percent(leaks.share)}) have a twin in train or val; accuracy of "
            f"{leaks.by} {_accuracy(leaks.accuracy_with)} with them, {_accuracy(leaks.accuracy_without)} without",
        ),
        ("never found", f"{len(found.never_found):,} of {len(found.classes):,} classes, by zero-shot"),
        ("near names", f"{len(found.near_names):,} pairs of classes whose texts nearly coincide"),
        (
            "outliers",
            f"{images(len(found.outliers))} that no class explains"
            if found.share_wrong is not None
            else "not looked for: fewer than two images have a label",
        ),
        ("unreadable", images(len(found.unreadable))),
        ("small classes", _listed([f"{c.name} ({c.measured})" for c in found.small_classes]) or "none"),
    ]
    unlabelled = found.images - found.labelled
    told += [("unlabelled", f"{images(unlabelled)}: they are looked at, but for labels")] if unlabelled else []
    told += [("labels", found.labels_told)] if found.labels_told else []
    told += [("note", found.note)] if found.note else []
    return told


def _mislabelled(found: Audit) -> list[Part]:
    rows = [(s.image.id, s.image.split, s.label, s.suggested, percent(s.score)) for s in found.mislabelled[:FIRST]]
    title = _title("Likely mislabelled", len(found.mislabelled))
    return _table(("image", "split", "label", "perhaps", "label is wrong"), rows, title, ["label is wrong"])


def _twins(found: Audit) -> list[Part]:
    rows = [
        (
            _listed([f"{image.id} ({image.split})" for image in twins.images]),
            "identical" if twins.identical else f"{twins.cosine:.4f}",
            "yes" if len(set(twins.labels)) > 1 else "",
        )
        for twins in found.duplicates[:FIRST]
    ]
    return _table(("images", "cosine", "labels differ"), rows, _title("Twins", len(found.duplicates)), ["cosine"])


def _names(found: Audit) -> list[Part]:
    never = [
        (
            each.name,
            f"{each.images:,}",
            each.taken_for,
            f"{each.prompts} {percent(each.recall)}" if each.prompts else "none",
        )
        for each in found.never_found[:FIRST]
    ]
    near = [
        (
            f"{each.one} / {each.other}",
            f"{each.cosine:.4f}",
            MISSING if each.accuracy is None else percent(each.accuracy),
            MISSING if each.best is None else f"{each.prompts} {percent(each.best)}",
        )
        for each in found.near_names[:FIRST]
    ]
    title = _title("Classes that zero-shot never finds", len(found.never_found))
    columns = ("class", "images", "taken for", "prompts that find it")
    near_title = _title("Names that nearly coincide", len(found.near_names))
    near_columns = ("classes", "cosine", "told apart", "better prompts")
    return [
        *_table(columns, never, title, ["images"]),
        *_table(near_columns, near, near_title, ["cosine", "told apart"]),
    ]


def _outliers(found: Audit) -> list[Part]:
    rows = [(each.image.id, each.image.split, f"{each.score:.2f}") for each in found.outliers[:FIRST]]
    title = _title("Images that no class explains", len(found.outliers))
    unreadable = [(image.id, image.split) for image in found.unreadable[:FIRST]]
    return [
        *_table(("image", "split", "distance / limit"), rows, title, ["distance / limit"]),
        *_table(("image", "split"), unreadable, _title("Unreadable images", len(found.unreadable)), []),
    ]


def _table(columns: Sequence[str], rows: Sequence[Any], title: str, numbers: Sequence[str]) -> list[Part]:
    return [Table(columns, rows, title, numbers)] if rows else []


def _title(what: str, count: int) -> str:
    return what if count <= FIRST else f"{what}: the first {FIRST} of {count:,}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:FIRST]) + (f" and {len(names) - FIRST:,} more" if len(names) > FIRST else "")


def _above(cosine: float | None) -> str:
    return (
        "; too few images to say which are near" if cosine is None else f"; near ones have a cosine above {cosine:.4f}"
    )


def _accuracy(value: float | None) -> str:
    return MISSING if value is None else percent(value)
