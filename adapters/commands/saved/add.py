"""`adapters add`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.commands.shared.shared_options import RunName
from adapters.show.numbers import percent, within
from featcache.commands.shared.options import Device, Json, Root
from featcache.commands.shared.show import show
from featcache.show.page import Facts, Page, Styled, Table, Typed

if TYPE_CHECKING:
    from adapters.runs.report import Report


def add(
    run: RunName,
    classes: Annotated[
        list[str],
        typer.Argument(
            metavar="CLASS…",
            help="A name alone, or NAME=PATH with a folder of its images, or a file; a name may stand several times.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where to save the new head. Default: a folder of its own under ROOT/runs.")
    ] = None,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Save a head that knows more classes than a saved one, which stays as it is.

    For methods that train nothing: the head is what it would be had the classes been there from the start.
    """
    from adapters.adding.add import add, classes_given

    report = add(run, classes_given(classes), out=out, root=root, device=device)
    show(report.to_json, lambda: added_page(report, root), json=json)


def added_page(report: Report, root: str | None) -> Page:
    """What was added, and what it does to the images of the other classes."""
    from adapters.runs.mirror import kept_at

    assert report.scores is not None
    assert report.added is not None
    rows = []
    for name, which in (("zero-shot", "zero_shot"), (Styled(report.method, "bold"), "test")):
        scores = report.scores[which]
        assert scores is not None
        rows.append((name, percent(scores["accuracy"]), within(scores["accuracy_interval"])))
    kept = kept_at(report.run, root)
    classes = report.added["classes"]
    told = [(name, f"{len(files)} images" if files else "its name alone") for name, files in classes.items()]
    facts = [
        *told,
        ("to", str(report.added["run"])),
        ("classes", f"{report.classes}"),
        (Styled("note", "yellow"), report.note),
        ("saved", kept),
        ("predict", Typed(f"adapters predict {shlex.quote(kept)} IMAGE…")),
    ]
    columns = ("test accuracy", "95 %")
    return Page([Table(("", *columns), rows, f"{report.dataset}: classes added", numbers=columns), Facts(facts)])
