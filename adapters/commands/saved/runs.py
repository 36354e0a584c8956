"""`adapters runs`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.show.numbers import percent
from featcache.commands.shared.options import Json, Root
from featcache.commands.shared.show import show
from featcache.show.page import Page, Styled, Table

if TYPE_CHECKING:
    from adapters.runs.catalogue import SavedRun
    from adapters.runs.report import Report


def runs(root: Root = None, json: Json = False) -> None:
    """List the saved heads, newest first."""
    from adapters.runs.catalogue import list_runs
    from adapters.runs.mirror import kept_at
    from featcache.places.home import runs_folder

    saved = list_runs(root)
    here = runs_folder(root)
    show(lambda: runs_json(saved), lambda: runs_page(saved, here, kept_at(here, root)), json=json)


def runs_json(saved: Sequence[SavedRun]) -> dict[str, Any]:
    """The object that `adapters runs --json` prints."""
    return {
        "runs": [
            {"run": str(run.path), "problem": run.problem, "report": run.report.to_json() if run.report else None}
            for run in saved
        ]
    }


def runs_page(saved: Sequence[SavedRun], folder: Path, where: str) -> Page:
    """The saved heads under a folder, which is called so, and below them those that cannot be read."""
    if not saved:
        return Page([f"No runs under {where}. Fit a head: adapters fit --shots 4"])
    named = [(run.path.relative_to(folder).as_posix(), run) for run in saved]
    rows = [_row(name, run.report) for name, run in named if run.report is not None]
    problems = [Styled(f"{name}: {run.problem}", "red") for name, run in named if run.report is None]
    columns = ("run", "cache", "prompts", "select", "zero-shot", "test")
    return Page([Table(columns, rows, title=f"Saved heads under {where}", numbers=columns[4:]), *problems])


def _row(name: str, report: Report) -> tuple[str, ...]:
    regime = report.regime
    select = Styled(regime.title, "red") if regime.warning else regime.title
    scores = percent(report.accuracy["zero_shot"]), percent(report.accuracy["test"])
    return name, report.cache_name, report.prompts, select, *scores
