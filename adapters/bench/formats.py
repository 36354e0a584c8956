"""The table as text: Markdown, CSV, LaTeX, and for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from adapters.bench.protocols.learning import ADAPTED, BY_OWN, BY_TEXT, REFITTED
from adapters.bench.summary import Block, Entry

TIED = "≈"
MARKS = {BY_TEXT: "†", BY_OWN: "‡", ADAPTED: "§", REFITTED: "¶"}
"""What stands behind a number that did not simply come from the fitted head."""
_LATEX = {"≈": r"$\approx$", "†": r"$^\dagger$", "‡": r"$^\ddagger$", "§": r"$^\S$", "¶": r"$^\P$"}
_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
    "<": r"$<$",
    "±": r"$\pm$",
    "≥": r"$\geq$",
}
MISSING = "–"


def number(entry: Entry | None) -> str:
    """`71.25 ± 1.30` in percent; without a spread where there is one seed."""
    if entry is None:
        return MISSING
    spread = "" if entry.std is None else f" ± {100 * entry.std:.2f}"
    return f"{100 * entry.mean:.2f}{spread}"


def marks(entry: Entry | None, seeds: int) -> str:
    """What stands behind the number: ties, how it came about, and the seeds where some are missing."""
    if entry is None:
        return ""
    missing = "" if entry.seeds == seeds else f" ({entry.seeds} of {seeds} seeds)"
    signs = (TIED if entry.tied else "") + "".join(MARKS.get(how, "") for how in entry.how)
    return (f" {signs}" if signs else "") + missing


def markdown(title: str, blocks: Sequence[Block], notes: Sequence[str], seeds: int) -> str:
    """GitHub's tables, the best in bold."""
    parts = [f"**{title}**"]
    for block in blocks:
        cells = _cells(block, seeds, bold=lambda text: f"**{text}**", escape=lambda text: text.replace("|", "\\|"))
        lines = [_header(block), ["---", *["---:"] * (len(block.columns) + 2)], *cells]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts += [f"{block.title}:", table] if len(blocks) > 1 else [table]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"


def latex(title: str, blocks: Sequence[Block], notes: Sequence[str], seeds: int) -> str:
    """One `table` with `booktabs` rules for each block, the notes as captions."""
    parts = []
    for block in blocks:
        cells = _cells(block, seeds, bold=lambda text: rf"\textbf{{{text}}}", escape=_escape)
        rows = [" & ".join([cell for cell in line]) + r" \\" for line in cells]
        caption = " ".join(f"{note.rstrip('.')}." for note in (title, block.title, *notes))
        parts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    r"\centering",
                    rf"\begin{{tabular}}{{l{'r' * (len(block.columns) + 2)}}}",
                    r"\toprule",
                    " & ".join(map(_escape, _header(block))) + r" \\",
                    r"\midrule",
                    *rows,
                    r"\bottomrule",
                    r"\end{tabular}",
                    rf"\caption{{{_escape(caption)}}}",
                    r"\end{table}",
                ]
            )
        )
    return "% needs \\usepackage{booktabs}\n" + "\n\n".join(parts) + "\n"


def summary_csv(blocks: Sequence[Block], facts: dict[str, str]) -> str:
    """One line a number, fractions; `facts` (protocol, select) stand in every line."""
    out = io.StringIO(newline="")
    names = ["table", "method", "column", "shots", "mean", "std", "seeds", "best", "tied", "how", "ece", "seconds_fit"]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*facts, *names])
    for block in blocks:
        for line in block.lines:
            for column, shots, e in zip(block.columns, block.shots, line.entries, strict=True):
                if e is not None:
                    spread = "" if e.std is None else e.std
                    how = " ".join(e.how)
                    scores = [e.mean, spread, e.seeds, e.best, e.tied, how, line.ece, line.seconds_fit]
                    writer.writerow([*facts.values(), block.title, line.method, column, shots, *scores])
    return out.getvalue()


def terminal(title: str, blocks: Sequence[Block], notes: Sequence[str], seeds: int) -> RenderableType:
    """Tables for `rich`; ORACLE in red."""
    heading = Text(title, style="bold")
    heading.highlight_words(["ORACLE"], "bold red")
    parts: list[RenderableType] = [heading]
    for block in blocks:
        table = Table(title=block.title if len(blocks) > 1 else None, title_justify="left")
        for column, name in enumerate(_header(block)):
            table.add_column(name, justify="right" if column else "left", no_wrap=not column)
        bold = "[bold]{}[/]".format
        for line in _cells(block, seeds, bold=bold, escape=lambda text: text.replace("[", r"\[")):
            table.add_row(*(Text.from_markup(cell) for cell in line))
        parts.append(table)
    return Group(*parts, *(Text(note) for note in notes))


def _header(block: Block) -> list[str]:
    return ["method", *block.columns, "ECE", "s/fit"]


def _cells(block: Block, seeds: int, *, bold: Callable[[str], str], escape: Callable[[str], str]) -> list[list[str]]:
    lines = []
    for line in block.lines:
        numbers = []
        for entry in line.entries:
            text = escape(number(entry))
            numbers.append((bold(text) if entry and entry.best else text) + escape(marks(entry, seeds)))
        lines.append([escape(line.method), *numbers, f"{100 * line.ece:.2f}", _seconds(line.seconds_fit)])
    return lines


def _seconds(seconds: float) -> str:
    return "<0.01" if seconds < 0.01 else f"{seconds:.2f}"


def _escape(text: str) -> str:
    return "".join({**_ESCAPES, **_LATEX}.get(sign, sign) for sign in text)
