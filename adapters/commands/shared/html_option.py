"""`--html`, which several commands take: their result as a page to look at, beside what they print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featcache.commands.shared.show import tell

if TYPE_CHECKING:
    from adapters.html.pictures import Pictures

OPTION = "--html"
Html = Annotated[
    Path | None,
    typer.Option(OPTION, metavar="FILE.html", help="Also write a page to look at (see adapters report)."),
]


def check_html(html: Path | None) -> None:
    """Refuse a file that could not be written, before any work.

    Raises:
        AdapterError: see `adapters.html.document.check_html_file`.
    """
    if html is not None:
        from adapters.html.document import check_html_file

        check_html_file(html, OPTION)


def write_page(html: Path | None, page: Callable[[], tuple[str, Pictures | None]]) -> None:
    """Make the page and write it, if it was asked for, and tell where it is and what it lacks."""
    if html is None:
        return
    from adapters.html.document import write_html

    made, pictures = page()
    write_html(html, made, OPTION)
    tell(f"{html} is a page to look at" + (f"; {pictures.told}" if pictures is not None and pictures.told else ""))
