"""`adapters predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.commands.shared.shared_options import RunName
from adapters.show.numbers import percent
from featcache.commands.shared.options import Device, Json, Root
from featcache.commands.shared.show import show, tell
from featcache.show.page import Page, Styled, Table
from featcache.show.spreadsheet import BYTE_ORDER_MARK

if TYPE_CHECKING:
    from adapters.runs.predict import Prediction, Predictions


def predict(
    run: RunName,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE|FOLDER…", help="Image files, or folders of them.")],
    top_k: Annotated[int, typer.Option(min=1, help="Classes to show for an image.")] = 5,
    csv: Annotated[Path | None, typer.Option(help="Also write the predictions to this CSV file.")] = None,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Classify new images with a saved head.

    Loads the very encoder that the head was trained on. Exit status 1 if an image could not be read.
    """
    from adapters.runs.predict import predict, predictions_csv

    found = predict(run, images, top_k=top_k, root=root, device=device)
    if csv:
        text = predictions_csv(found)
        # A mark tells spreadsheets that a file is UTF-8; a pipe, such as /dev/stdout, is read by programs.
        with csv.open("w", newline="", encoding="utf-8") as stream:
            stream.write(text if csv.is_file() else text.removeprefix(BYTE_ORDER_MARK))
    show(found.to_json, lambda: predictions_page(found), json=json)
    if found.failed:
        tell(f"{found.failed} of {len(found.items)} files could not be read")
        raise typer.Exit(1)


def predictions_page(found: Predictions) -> Page:
    """The most probable classes of each image, and below them why some have none."""
    most = max((len(item.classes) for item in found.items), default=0)
    with_sets = any(item.set is not None for item in found.items)
    table = Table(
        ("image", *(f"{rank + 1}." for rank in range(most)), *(["set"] if with_sets else [])),
        [_row(item, most) for item in found.items if item.error is None],
        title=f"{Path(found.run).name} · {found.model}",
    )
    unreadable = [Styled(f"{item.file}: {item.error}", "red") for item in found.items if item.error is not None]
    return Page([table, *unreadable, *([found.note] if found.note else [])])


def _row(item: Prediction, most: int) -> list[str]:
    ranked = [f"{entry.name} {percent(entry.probability)}" for entry in item.classes]
    if item.rejected:
        ranked[0] = Styled(f"none of these ({ranked[0]})", "yellow")
    in_set = [] if item.set is None else [", ".join(item.set) or "(none)"]
    return [item.file, *ranked, *[""] * (most - len(ranked)), *in_set]
