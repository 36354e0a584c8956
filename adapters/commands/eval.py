"""`adapters eval`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from adapters.commands.caches import open_cache
from adapters.commands.shared_options import RunName
from adapters.show.numbers import percent
from featcache.commands.options import Device, Json, Root
from featcache.commands.show import show
from featcache.show.page import Page, Styled, Table

if TYPE_CHECKING:
    from adapters.runs.evaluate import Evaluation


def evaluate(
    run: RunName,
    cache: Annotated[str | None, typer.Option(help="The cache it was fitted on, if that has moved.")] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Score a saved head again, class by class."""
    from adapters.runs.evaluate import evaluate

    found = evaluate(run, cache=open_cache(cache, root) if cache else None, split=split, root=root, device=device)
    show(found.to_json, lambda: evaluation_page(found), json=json)


def evaluation_page(found: Evaluation) -> Page:
    """A saved head's scores, class by class, and what it confuses."""
    scores = f"{percent(found.accuracy)} of {found.images:,} images, ECE {percent(found.ece)}"
    classes = Table(
        ("class", "images", "accuracy"),
        [(row["class"], str(row["images"]), percent(row["accuracy"])) for row in found.per_class],
        title=f"{found.method} on {found.split}: {scores}",
        numbers=("images", "accuracy"),
    )
    confusions = Table(
        ("class", "taken for", "images", "share"),
        [(row["class"], row["predicted"], str(row["images"]), percent(row["share"])) for row in found.confusions],
        title="Most frequent confusions",
        numbers=("images", "share"),
    )
    return Page([classes, confusions, _comparison(found)])


def _comparison(found: Evaluation) -> str:
    if found.reproduced is None:
        return "No accuracy of this split was saved to compare with."
    if found.reproduced:
        return "The saved accuracy is reproduced."
    return Styled(f"The saved accuracy is another: {percent(found.stored['accuracy'])}.", "red")
