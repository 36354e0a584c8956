"""A command line before it has commands: its help, and the options that stand before a command."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from featcache.commands.shared.command import Commands

SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "rich_markup_mode": "markdown",
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


def command_line(name: str, told: str, *, start: str) -> typer.Typer:
    """A command line without commands.

    Args:
        name: What is typed.
        told: What it is for.
        start: What to type first.
    """
    app = typer.Typer(name=name, cls=Commands, help=told, epilog=f"Start with: {start}", **SETTINGS)
    app.callback()(_options)
    return app


def _show_version(asked: bool) -> None:
    if asked:
        from featcache.version import package_version

        print(f"featcache {package_version()}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...
