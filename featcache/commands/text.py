"""`featcache text`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from featcache.commands.shared.options import CacheName, Device, Json, Root
from featcache.commands.shared.show import show
from featcache.commands.shared.words import by_default_words
from featcache.show.page import Page, Table


def text(
    cache: CacheName,
    templates: Annotated[
        str,
        typer.Option(
            help="A prompt set of the data set, or a file: one template a line ('a photo of a {}.'), a JSON list of "
            "templates, or CuPL's JSON {class: [prompts]}."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="The set's name. Default: the file's.")] = None,
    class_names: Annotated[
        Path | None, typer.Option(help="Other words for the classes: a text file, one a line, or JSON {name: words}.")
    ] = None,
    default: Annotated[bool, typer.Option(help="Make it the set that heads use unless told otherwise.")] = True,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Add or replace a prompt set; only text is encoded."""
    from featcache.cache.catalogue import locate
    from featcache.extraction.add_text import add_prompt_set

    result = add_prompt_set(
        locate(cache, root), templates, name=name, default=default, device=device, class_names=class_names
    )
    show(lambda: result, lambda: prompt_sets_page(result), json=json)


def prompt_sets_page(result: Mapping[str, Any]) -> Page:
    """The prompt sets of a cache after adding one."""
    rows = []
    for prompts in result["sets"]:
        default = " (default)" if prompts["name"] == result["default"] else ""
        rows.append((prompts["name"] + default, str(prompts["prompts"]), prompts["example"]))
    columns = ("prompt set", "prompts", "example")
    told = by_default_words(result["by_default"])
    return Page([Table(columns, rows, title=f"Added {result['added']}", numbers=["prompts"]), *told])
