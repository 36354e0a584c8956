"""`adapters compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.commands.shared.caches import open_cache
from adapters.show.numbers import MISSING, percent, span, within
from featcache.commands.shared.options import Device, Json, Root
from featcache.commands.shared.show import show
from featcache.show.page import Page, Styled, Table

if TYPE_CHECKING:
    from adapters.runs.compare import Comparison


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN…", help="Names (see adapters runs) or folders.")],
    cache: Annotated[str | None, typer.Option(help="The cache they were fitted on, if that has moved.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="A CSV of id,label to score all on. Default: the labels that they share.")
    ] = None,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Compare saved heads on the same test rows: scores, paired differences to the first, and what differs in them."""
    from adapters.runs.compare import compare

    opened = open_cache(cache, root) if cache else None
    found = compare(runs, cache=opened, labels=labels, root=root, device=device)
    show(found.to_json, lambda: comparison_page(found), json=json)


def comparison_page(found: Comparison) -> Page:
    """A row a run, then what differs in their settings."""
    numbers = ("accuracy", "95 %", "balanced", "less the first", "ECE", "NLL")
    rows = []
    for each in found.runs:
        less = each.less_first
        told = MISSING if less is None else f"{100 * less.accuracy:+.2f} ({span(less.interval)})"
        sure = Styled(told, "bold") if less is not None and less.sure else told
        scores = each.scores
        accuracies = percent(scores.accuracy), within(scores.accuracy_interval), percent(scores.balanced_accuracy)
        rows.append((each.name, *accuracies, sure, percent(scores.ece), f"{scores.nll:.3f}"))
    title = f"{found.runs[0].report.cache_name}: {found.runs[0].scores.rows:,} test images"
    scored = Table(("run", *numbers), rows, title, numbers)
    differ = [(name, *map(_short, values)) for name, values in found.settings.items()]
    names = [each.name for each in found.runs]
    settings = Table(("setting", *names), differ, "What differs in their settings")
    note = "Less the first: points, with the 95 % interval of the paired difference; in bold where it excludes 0."
    labels = [f"Mended labels: {found.labels}."] if found.labels else []
    return Page([scored, *([settings] if differ else []), note, *labels])


def _short(value: Any) -> str:
    return MISSING if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
