"""The tables as LaTeX."""

from __future__ import annotations

from adapters.bench.formats.cells import cells, header
from adapters.bench.tables import Tables
from featcache.errors import visible

_LATEX = {"≈": r"$\approx$", "†": r"$^\dagger$", "‡": r"$^\ddagger$", "§": r"$^\S$", "¶": r"$^\P$"}
_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "±": r"$\pm$",
    "≥": r"$\geq$",
}


def latex(tables: Tables) -> str:
    """One `table` with `booktabs` rules for each block, the notes as captions."""
    parts = []
    for block in tables.blocks:
        lines = cells(block, tables.seeds, bold=lambda text: rf"\textbf{{{text}}}", escape=_escape)
        rows = [" & ".join([cell for cell in line]) + r" \\" for line in lines]
        caption = " ".join(f"{note.rstrip('.')}." for note in (tables.title, block.title, *tables.notes))
        parts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    r"\centering",
                    rf"\begin{{tabular}}{{ll{'r' * (len(block.columns) + 4)}}}",
                    r"\toprule",
                    " & ".join(map(_escape, header(block))) + r" \\",
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


def _escape(text: str) -> str:
    return "".join({**_ESCAPES, **_LATEX}.get(sign, sign) for sign in visible(text))
