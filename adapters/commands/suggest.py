"""`adapters suggest`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.commands.shared.caches import open_cache
from adapters.commands.shared.shared_options import Labels
from adapters.show.output_files import check_output
from featcache.commands.shared.options import Device, Json, Root
from featcache.commands.shared.show import show, tell
from featcache.places.again import again
from featcache.show.page import Facts, Page, Table, Typed

if TYPE_CHECKING:
    from adapters.suggesting.results import Suggestions

FIRST = 20
"""Images that are shown; --json, --csv and --html hold all."""


def suggest(
    cache: Annotated[
        str | None,
        typer.Argument(metavar="[CACHE]", help="A cache's name, folder or URL. Default: the one finished last."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A saved head, which says what is uncertain. Default: there is none yet."),
    ] = None,
    budget: Annotated[int, typer.Option(help="Images to suggest.")] = 50,
    labels: Labels = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Also write them to this CSV file, to fill in the column label and give as --labels. What --labels "
            "says stays in it."
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a page of thumbnails to this file.")] = None,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Say which images to label next: those that stand for most others that are uncertain or have no label near.

    Works on cached features of images without a label: of a folder without class folders, or with empty labels.
    """
    from adapters.html.document import check_html_file
    from adapters.suggesting.results import check_not_filled_in
    from adapters.suggesting.suggest import suggest

    if html:
        check_html_file(html, "--html")
    if csv:
        check_output(csv, "--csv")
        check_not_filled_in(csv.expanduser(), None if labels is None else str(labels.expanduser().resolve()))
    found = suggest(open_cache(cache, root, labels), budget=budget, run=run, root=root, device=device)
    if csv:
        found.to_csv(csv)
    if html:
        found.to_html(html)
    show(found.to_json, lambda: suggestions_page(found, csv, root), json=json)
    if csv:
        tell(f"{csv} has a line for each; fill in its column label, then type it as --labels {shlex.quote(str(csv))}")


def suggestions_page(found: Suggestions, csv: Path | None, root: str | None) -> Page:
    """The first few, and what to type next under the root that was given."""
    of = f"{len(found.items):,} of {found.unlabelled:,} images without a label"
    title = f"{found.cache}: {of}" + (f", the first {FIRST}" if len(found.items) > FIRST else "")
    rows = [
        (str(place), item.id, item.split, item.predicted or "", item.reason)
        for place, item in enumerate(found.items[:FIRST], start=1)
    ]
    facts: list[tuple[str, str]] = [("ranked by", found.by), ("labelled", f"{found.labelled:,} images count as known")]
    facts += [("note", found.note)] if found.note else []
    facts.append(("next", Typed(_next_step(found, csv, root))))
    return Page([Table(("", "image", "split", "predicted", "why"), rows, title, numbers=("",)), Facts(facts)])


def _next_step(found: Suggestions, csv: Path | None, root: str | None) -> str:
    cache = shlex.quote(found.cache)
    if csv is None:
        return f"adapters suggest {cache} --csv labels.csv{again(root)}"
    return f"adapters fit --shots all --cache {cache} --labels {shlex.quote(str(csv))}{again(root)}"
