"""`adapters report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featcache.commands.shared.options import Device, Json, Root
from featcache.commands.shared.show import show, tell


def report(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN|BENCH|SEARCH|AUDIT",
            help="A run's name or folder, a bench's or search's folder, or what `adapters audit --json > FILE` wrote.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Where to write it. Default: in this folder, under the result's name."),
    ] = None,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Write a page to look at: scores, classes, confusions, images that are wrong, doubtful or leaked, as thumbnails.

    One file that asks for nothing: to be opened in a browser, sent or printed. Of a bench or search: tables, curves and
    significance. `--html FILE` of fit, eval, audit, bench and search writes the same page at once.
    """
    from adapters.pages.report import report

    written = report(what, out=out, root=root, device=device)
    show(written.to_json, lambda: f"{written.file}\n", json=json)
    if written.told:
        tell(written.told)
