"""Tables, facts and lines as data: drawn within the width of a terminal, or written line by line.

On a terminal columns give way until all fit: text is folded between words, then columns move to a table of their own
below, then rows become facts; nothing is cut off. In a file a row is a line, however long, without colours or borders.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from featcache.errors import visible
from featcache.show.layout import Column, Group, share

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.text import Text

GAP = "  "
"""What stands between columns without borders."""


class Typed(str):
    """A command to type: it is shown in one piece, to be copied."""


class Styled(str):
    """Text in a style that `rich` knows, such as `bold` or `yellow`; what it `shouts` is red beside."""

    style: str
    shouts: str

    def __new__(cls, text: str, style: str = "", *, shouts: str = "") -> Styled:
        """`Styled("not yet", "yellow")`."""
        made = super().__new__(cls, text)
        made.style, made.shouts = style, shouts
        return made

    def __add__(self, more: str) -> Styled:
        """Longer text in the same style."""
        return Styled(str(self) + more, self.style, shouts=self.shouts)


@dataclass(frozen=True)
class Table:
    """Rows under headings.

    Attributes:
        columns: the headings; the first column says what a row is.
        rows: a cell for each column.
        title: what stands above; may be empty.
        numbers: headings of columns that are aligned to the right, and never folded.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    numbers: Sequence[str] = ()

    def lines(self) -> Iterator[str]:
        """The title, the headings, and a line for each row."""
        if self.title:
            yield _flat(self.title)
        table = [[_flat(cell) for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        right = [heading in self.numbers for heading in self.columns]
        for row in table:
            cells = (cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True))
            yield GAP.join(cells).rstrip()

    def drawn(self, width: int) -> Iterator[RenderableType]:
        """What `rich` prints within a number of letters."""
        from rich.cells import cell_len

        if self.title:
            yield _text(self.title, "bold")
        columns = []
        for place, heading in enumerate(self.columns):
            texts = [heading, *(row[place] for row in self.rows)]
            longest = max(map(cell_len, texts))
            word = max((cell_len(word) for text in texts for word in text.split()), default=0)
            columns.append(Column.of(longest, word, number=heading in self.numbers))
        groups = share(columns, width)
        yield from self._as_facts(width) if groups is None else map(self._box, groups)

    def _box(self, group: Group) -> RenderableType:
        from rich.table import Table as Box

        box = Box()
        for place, width in group.items():
            heading = self.columns[place]
            box.add_column(_text(heading), justify="right" if heading in self.numbers else "left", width=width)
        for row in self.rows:
            box.add_row(*(_text(row[place]) for place in group))
        return box

    def _as_facts(self, width: int) -> Iterator[RenderableType]:
        for number, row in enumerate(self.rows):
            told = [(heading, cell) for heading, cell in zip(self.columns, row, strict=True) if cell]
            yield from Facts(told).drawn(width)
            if number + 1 < len(self.rows):
                yield ""


@dataclass(frozen=True)
class Facts:
    """What there is to say of one thing.

    Attributes:
        rows: pairs of a name and what is said.
        title: what stands above; may be empty.
    """

    rows: Sequence[tuple[str, str]]
    title: str = ""

    def lines(self) -> Iterator[str]:
        """The title, and a line for each fact."""
        if self.title:
            yield _flat(self.title)
        names = [_flat(name) for name, _ in self.rows]
        width = max(map(len, names), default=0)
        for name, (_, said) in zip(names, self.rows, strict=True):
            yield f"{name:{width}}{GAP}{_flat(said)}"

    def drawn(self, width: int) -> Iterator[RenderableType]:
        """What `rich` prints within a number of letters.

        Only what has to be copied in one piece, a command or a word such as a path, may reach beyond, where the
        terminal wraps it; it stands below its name.
        """
        from rich.cells import cell_len
        from rich.table import Table as Box
        from rich.text import Text

        if self.title:
            yield _text(self.title, "bold")
        names = max((cell_len(name) for name, _ in self.rows), default=0)
        room = width - names - len(GAP)
        for name, said in self.rows:
            pieces = [said] if isinstance(said, Typed) else said.split()
            if max(map(cell_len, pieces), default=0) <= room:
                pair = Box.grid(padding=(0, len(GAP), 0, 0))
                pair.add_column(width=names)
                pair.add_column(width=room)
                pair.add_row(_text(name, "bold"), _text(said))
                yield pair
            else:
                yield Text.assemble(_text(name, "bold"), "\n", _text(said), no_wrap=True, overflow="ignore")


Part = Table | Facts | str


@dataclass(frozen=True)
class Page:
    """What a command shows.

    Attributes:
        parts: tables, facts and lines of text, from top to bottom.
    """

    parts: Sequence[Part]

    def lines(self) -> Iterator[str]:
        """The page for a file: a row or a fact is a line, and none is folded."""
        for place, part in enumerate(self.parts):
            if isinstance(part, str):
                yield _flat(part)
                continue
            if place and part.title:
                yield ""
            yield from part.lines()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The page for a terminal, within its width."""
        for part in self.parts:
            if isinstance(part, str):
                yield _text(part)
            else:
                yield from part.drawn(options.max_width)


def _text(text: str, style: str = "") -> Text:
    """Text for `rich`; brackets in it, as in file names and prompts, mean nothing."""
    from rich.text import Text

    if not isinstance(text, Styled):
        return Text(visible(text), style, overflow="fold")
    styled = Text(visible(text), text.style or style, overflow="fold")
    if text.shouts:
        styled.highlight_words([text.shouts], "bold red")
    return styled


def _flat(text: str) -> str:
    return " ".join(visible(text).split("\n"))
