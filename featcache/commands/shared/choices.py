"""Options that offer the names of a list: whoever adds to the list has added to the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import typer


def choice(
    *flags: str, of: Iterable[str], help: str, meanings: Mapping[str, str] | None = None, panel: str | None = None
) -> Any:
    """A typer option for a `str`, or a `str | None`, that must be one of some names.

    Args:
        flags: how it is typed; none: like the parameter.
        of: the names.
        help: what is chosen.
        meanings: what each name means, told below the help.
        panel: of the help, in which it stands.
    """
    names = list(of)
    told = [f"- {name}: {meanings[name]}" for name in names] if meanings else []

    def check(value: str | None) -> str | None:
        if value is not None and value not in names:
            near = difflib.get_close_matches(value, names, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(map(repr, names))}{hint}")
        return value

    return typer.Option(
        *flags,
        metavar=f"<{'|'.join(names)}>",
        help="\n\n".join([help, *told]),
        callback=check,
        rich_help_panel=panel,
        autocompletion=lambda: names,
    )
