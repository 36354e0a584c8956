"""Pages as a reader sees them, and whether all of a page is there."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.console import Console

from featcache.show.page import Facts, Page, Table

WIDTHS = (60, 80, 200)


def drawn(page: Page, width: int) -> str:
    """A page on a terminal of that width."""
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    console.print(page, crop=False)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def texts(page: Page) -> Iterator[str]:
    """Every text that a page holds."""
    for part in page.parts:
        if isinstance(part, Table):
            yield from (part.title, *part.columns, *(cell for row in part.rows for cell in row))
        elif isinstance(part, Facts):
            yield from (part.title, *(text for row in part.rows for text in row))
        else:
            yield part


def assert_all_is_told(page: Page) -> None:
    """Nothing of a page is lost on a terminal, however narrow; in a file a row is a line."""
    for width in WIDTHS:
        shown = drawn(page, width)
        lines = shown.splitlines()
        whole = "".join(lines)
        for text in texts(page):
            missing = [word for word in text.split() if word not in whole]
            assert not missing, f"at {width} columns: {missing}\n{shown}"
        in_one_piece = {text for text in texts(page) if len(text) > width / 3}
        assert all(len(line) <= width or line.strip() in in_one_piece for line in lines), shown
    plain = list(page.lines())
    for part in page.parts:
        rows = part.rows if isinstance(part, Table | Facts) else [[part]]
        for row in rows:
            assert any(all(cell in line for cell in row) for line in plain), row
    assert not set("\x1b┃│━─┏└") & set("".join(plain))
