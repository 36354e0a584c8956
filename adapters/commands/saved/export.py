"""`adapters export`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.commands.shared.shared_options import RunName
from featcache.commands.shared.choices import choice
from featcache.commands.shared.options import Json, Root
from featcache.commands.shared.show import show
from featcache.show.page import Facts, Page, Styled, Typed

if TYPE_CHECKING:
    from adapters.exporting.export import Exported


def export(
    run: RunName,
    to: Annotated[str, choice("--to", of=("onnx",), help="What to write.")] = "onnx",
    with_encoder: Annotated[
        bool,
        typer.Option(
            "--with-encoder",
            help="One file from pixels, bytes (N, H, W, 3) that Pillow has resized to the encoder's size, to "
            "probabilities. Default: the head alone, from features (N, D).",
        ),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="The file. Default: RUN.onnx in this folder.")] = None,
    root: Root = None,
    json: Json = False,
) -> None:
    """Write a saved head as a file that runs without PyTorch, and check that it answers the same.

    Needs `pip install 'featcache[onnx]'`. Class names and where the head comes from are in the file's metadata.
    """
    from adapters.exporting.export import export

    exported = export(run, out=out, with_encoder=with_encoder, root=root)
    show(exported.to_json, lambda: exported_page(exported, with_encoder=with_encoder), json=json)


def exported_page(found: Exported, *, with_encoder: bool) -> Page:
    """The file, what it takes and gives, and how it compares with the head."""
    compared = (
        f"{found.same_predictions:,} of {found.checked:,} {'pictures' if with_encoder else 'rows'} the same class"
    )
    if found.largest_difference is not None:
        compared += f", logits within {found.largest_difference:.1g}"
    rows = [
        ("file", f"{found.file} ({found.bytes / 1e6:.1f} MB)"),
        ("takes", found.takes),
        ("gives", f"{found.gives}; with class names in its metadata"),
        ("checked", f"by onnxruntime: {compared}"),
    ]
    if found.note:
        rows.append((Styled("note", "yellow"), found.note))
    if with_encoder:
        rows.append(("classify", Typed(f"python docs/classify_onnx.py {shlex.quote(found.file)} IMAGE…")))
    return Page([Facts(rows, title=f"{found.run} as ONNX")])
