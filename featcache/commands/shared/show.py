"""Where a command's words go: its result to standard output, what it tells beside to standard error."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

from featcache.errors import visible
from featcache.show.page import Page


def show(content: Callable[[], Any], page: Callable[[], Page | str], *, json: bool) -> None:
    """Print a result on standard output.

    Args:
        content: gives the one object that is printed with `--json`.
        page: gives what is printed otherwise. A page keeps to the width of a terminal, and in a file has a line a row;
            text is printed as it is.
        json: whether `--json` was given.
    """
    if json:
        from json import dumps

        _write(dumps(content(), indent=1, ensure_ascii=False) + "\n")
        return
    shown = page()
    if isinstance(shown, str):
        _write(shown)
    elif sys.stdout and sys.stdout.isatty():
        from rich.console import Console

        # Without crop: what stands in one piece so that it can be copied is wrapped by the terminal.
        Console(markup=False, highlight=False).print(shown, crop=False)
    else:
        _write("".join(f"{line}\n" for line in shown.lines()))


def tell(text: str) -> None:
    """Print a notice on standard error."""
    print(visible(text), file=sys.stderr)


def _write(text: str) -> None:
    """Write to standard output, whatever stands in the names of files, and see it arrive."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # an undecodable name is \udcff, in JSON too
    print(text, end="", flush=True)
