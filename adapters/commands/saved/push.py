"""`adapters push`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.commands.shared.shared_options import RunName
from featcache.commands.shared.options import Json, Root
from featcache.commands.shared.show import show
from featcache.show.page import Facts, Page, Typed

if TYPE_CHECKING:
    from adapters.exporting.hub import Pushed


def push(
    run: RunName,
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A repository, made if need be.")],
    private: Annotated[bool, typer.Option("--private", help="Make it for its owner alone.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the files to a folder, and send nothing.")] = False,
    out: Annotated[Path | None, typer.Option(help="That folder. Default: NAME, in this folder.")] = None,
    root: Root = None,
    json: Json = False,
) -> None:
    """Put a saved head on the Hugging Face hub, with its model card; `adapters.load("hf://OWNER/NAME")` takes it.

    Sent are the head in safetensors, its card, scores and shots, and no place of this machine; no image and nothing
    that is executed. You are who `hf auth login` or HF_TOKEN says.
    """
    from adapters.errors import AdapterError
    from adapters.exporting.hub import push, write_repository

    if out is not None and not dry_run:
        raise AdapterError("--out says where --dry-run writes: give both, or neither")
    if dry_run:
        found = write_repository(run, repository, out=out, root=root)
    else:
        found = push(run, repository, private=private, root=root)
    show(found.to_json, lambda: pushed_page(found), json=json)


def pushed_page(found: Pushed) -> Page:
    """Where the run is now, what was sent, and how it is loaded."""
    where = ("page", found.page) if found.page else ("written to", f"{found.folder}; nothing was sent")
    rows = [where, ("files", ", ".join(found.files)), ("load", Typed(f'adapters.load("{found.load}")'))]
    return Page([Facts(rows, title=f"{found.run} as {found.repository}")])
