"""`adapters list`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from adapters.declared import NEEDS, NOTHING
from featcache.commands.shared.options import Json
from featcache.commands.shared.show import show
from featcache.show.page import Page, Table


def list_methods(
    method: Annotated[str | None, typer.Argument(help="A method: show its options; none: list all methods.")] = None,
    json: Json = False,
) -> None:
    """List the methods, or the options of one."""
    if method:
        from adapters.commands.shared.options import describe_options

        options = describe_options(method)
        show(lambda: {"method": method, "options": options}, lambda: options_page(method, options), json=json)
    else:
        from adapters.methods import describe_methods

        known = describe_methods()
        show(lambda: {"methods": known}, lambda: methods_page(known), json=json)


def methods_page(methods: Sequence[Mapping[str, Any]]) -> Page:
    """All methods, grouped by what they need; parameters are counted at D = 512, C = 10, K = 16."""
    columns = ("method", "try when", "trains", "parameters", "needs", "select", "source")
    keys = ("name", "try_when", *columns[2:])
    tables = []
    for need, given_by in NEEDS.items():
        rows = [
            [f"{method[key]:,}" if key == "parameters" else method[key] for key in keys]
            for method in methods
            if method["group"] == need
        ]
        if rows:
            title = f"Need {need} ({given_by})" if need != NOTHING else f"Need {need} more: {given_by}"
            tables.append(Table(columns, rows, title, numbers=["parameters"]))
    notes = (
        "Try when: what it is good for, and where it may be below zero-shot. Parameters at 512 numbers a feature, 10 "
        "classes, 16 shots. Select: what chooses hyper-parameters unless told otherwise. `adapters list METHOD` shows "
        "a method's options."
    )
    return Page([*tables, notes])


def options_page(method: str, options: Sequence[Mapping[str, Any]]) -> Page:
    """The options of one method."""
    if not options:
        return Page([f"{method} has no options of its own."])
    columns = ("option", "type", "default", "range", "meaning")
    rows = [[str(option[key]) for key in columns] for option in options]
    return Page([Table(columns, rows, title=f"adapters fit {method} …")])
