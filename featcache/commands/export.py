"""`featcache export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featcache.commands.shared.choices import choice
from featcache.commands.shared.options import CacheName, Json, Root
from featcache.commands.shared.show import show
from featcache.commands.shared.words import counts
from featcache.exporting.formats.formats import ENTRIES
from featcache.show.page import Facts, Page

if TYPE_CHECKING:
    from featcache.exporting.export import Exported


def export(
    cache: CacheName,
    to: Annotated[
        str,
        choice(of=ENTRIES, help="What to write.", meanings={name: entry.meaning for name, entry in ENTRIES.items()}),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The file or folder. Default: called as the cache, in this folder.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    root: Root = None,
    json: Json = False,
) -> None:
    """Write a cache for other programs: embeddings, ids, labels, splits, class names and what it was made from."""
    from featcache.cache.catalogue import open_cache
    from featcache.exporting.export import export_cache
    from featcache.progress import StderrReporter

    with StderrReporter() as reporter:
        done = export_cache(open_cache(cache, root), to, out, overwrite=overwrite, reporter=reporter)
    show(done.to_json, lambda: exported_page(done), json=json)


LEFT_OUT = "what the cache keeps from before the last projection, which no export has"


def exported_page(done: Exported) -> Page:
    """What was written."""
    rows = [("rows", counts(done.rows)), ("where", str(done.path))]
    if done.left_out:
        rows.append(("left out", f"{done.left_out:,} image{'s' * (done.left_out > 1)} that could not be read"))
    rows += [("left out", LEFT_OUT)] if done.pre_projection else []
    return Page([Facts(rows, title=f"Exported {done.cache} to {done.format}")])
