"""Asking before something is done that cannot be undone."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from featcache.commands.shared.show import tell
from featcache.errors import FeatcacheError

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def require_yes(question: str, yes: bool, refusal: type[Exception] = FeatcacheError) -> None:
    """Go on if `--yes` was given or the question is answered so on a terminal; else end with status 1.

    Args:
        question: What is to be done.
        yes: Whether `--yes` was given.
        refusal: Raised where nobody can be asked.
    """
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty()):
        raise refusal(f"{question} Nobody can be asked here: type --yes to do it")
    if not typer.confirm(question, err=True):
        tell("Nothing was removed")
        raise typer.Exit(1)
