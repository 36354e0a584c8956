"""What the `adapters` commands show: one function a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from adapters.runs.catalogue import SavedRun
from adapters.runs.evaluate import Evaluation
from adapters.runs.predict import Predictions
from adapters.runs.report import Report
from adapters.selection.regimes import REGIMES
from featcache.places.home import runs_folder


def report_table(report: Report) -> RenderableType:
    """The head beside zero-shot, and how both came about."""
    regime = "ORACLE" if report.select == "oracle" else report.select
    title = (
        f"{report.dataset} · {Path(report.model).name} · {report.shots} shots · seed {report.seed} · select: {regime}"
    )
    scores = Table("", "test accuracy", "val accuracy", "ECE", title=title, title_justify="left")
    for column in scores.columns[1:]:
        column.justify = "right"
    scores.add_row("zero-shot", _percent(report.accuracy["zero_shot"]), "", _percent(report.ece["zero_shot"]))
    scores.add_row(
        Text(report.method, style="bold"),
        Text(_percent(report.accuracy["test"]), style="bold"),
        _percent(report.accuracy["val"]),
        _percent(report.ece["test"]),
    )
    facts = _facts()
    stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in report.seconds.items())
    facts.add_row("seconds", stages)
    facts.add_row("trained", f"{report.parameters:,} numbers on {report.rows['support']} images")
    settings = ", ".join(
        f"{name} {_short(value)}" for name, value in report.hyperparameters.items() if value is not None
    )
    facts.add_row("settings", settings or "none")
    if report.alpha_text:
        facts.add_row("alpha", report.alpha_text)
    if report.temperature != 1.0:
        facts.add_row("temperature", f"{report.temperature:.3g}")
    facts.add_row("chosen by", REGIMES[report.select])  # type: ignore[index]
    facts.add_row("cache", f"{report.cache_name} (prompts: {report.prompts})")
    if report.note:
        facts.add_row(Text("note", style="yellow"), report.note)
    facts.add_row("saved", report.run)
    bench = f"adapters bench --methods {report.method} --shots {report.shots} --seeds 1,2,3 --cache {report.cache_name}"
    bench += "" if report.select == "none" else f" --select {report.select}"
    facts.add_row("predict", f"adapters predict {report.run} IMAGE…")
    facts.add_row("more seeds", f"{bench}   (one seed says little)")
    return Group(scores, facts)


def evaluation_table(found: Evaluation) -> RenderableType:
    """A saved head's scores, class by class, and what it confuses."""
    scores = f"{_percent(found.accuracy)} of {found.images:,} images, ECE {_percent(found.ece)}"
    title = f"{found.method} on {found.split}: {scores}"
    table = Table("class", "images", "accuracy", title=title, title_justify="left")
    for row in found.per_class:
        table.add_row(row["class"], str(row["images"]), _percent(row["accuracy"]))
    confusions = Table("class", "taken for", "images", "share", title="Most frequent confusions", title_justify="left")
    for row in found.confusions:
        confusions.add_row(row["class"], row["predicted"], str(row["images"]), _percent(row["share"]))
    notes = {True: "The saved accuracy is reproduced.", None: "No accuracy of this split was saved to compare with."}
    saved = _percent(found.stored["accuracy"])
    return Group(
        table, confusions, notes.get(found.reproduced, Text(f"The saved accuracy is another: {saved}.", style="red"))
    )


def prediction_table(found: Predictions) -> RenderableType:
    """The most probable classes of each image."""
    most = max((len(item.classes) for item in found.items), default=0)
    table = Table(
        "image",
        *[f"{rank + 1}." for rank in range(most)],
        title=f"{Path(found.run).name} · {found.model}",
        title_justify="left",
    )
    for item in found.items:
        ranked = [f"{entry.name} {_percent(entry.probability)}" for entry in item.classes]
        table.add_row(item.file, *(ranked if item.error is None else [Text(item.error, style="red")]))
    return Group(table, found.note) if found.note else table


def method_table(methods: Sequence[Mapping[str, Any]]) -> Table:
    """All methods; parameters are counted at D = 512, C = 10, K = 16."""
    table = Table("method", "trains", "parameters", "needs", "source", "select")
    for method in methods:
        cells = (method["trains"], f"{method['parameters']:,}", method["needs"], method["source"], method["select"])
        table.add_row(method["name"], *cells)
    table.caption = (
        "Parameters at 512 numbers a feature, 10 classes, 16 shots. Select: the default of `adapters fit --select`. "
        "`adapters list METHOD` shows a method's options."
    )
    return table


def option_table(method: str, options: Sequence[Mapping[str, Any]]) -> Table | str:
    """The options of one method."""
    if not options:
        return f"{method} has no options of its own."
    table = Table("option", "type", "default", "meaning", title=f"adapters fit {method} …", title_justify="left")
    for option in options:
        table.add_row(option["option"], option["type"], str(option["default"]), option["meaning"])
    return table


def run_list_json(saved: Sequence[SavedRun]) -> dict[str, Any]:
    """The object that `adapters runs --json` prints."""
    return {
        "runs": [
            {"run": str(run.path), "problem": run.problem, "report": run.report.to_json() if run.report else None}
            for run in saved
        ]
    }


def run_list_table(saved: Sequence[SavedRun], root: str | None) -> Table | str:
    """The saved heads."""
    if not saved:
        return f"No runs under {runs_folder(root)}. Fit a head: adapters fit clip --shots 4"
    folder = runs_folder(root).resolve()
    table = Table(title=f"Saved heads under {folder}", title_justify="left")
    table.add_column("run", no_wrap=True)
    for heading in ("cache", "prompts", "select", "zero-shot", "test"):
        table.add_column(heading, overflow="fold")
    for run in saved:
        name = run.path.resolve().relative_to(folder).as_posix()
        if run.report is None:
            table.add_row(name, Text(str(run.problem), style="red"))
            continue
        report = run.report
        select = Text("ORACLE", style="red") if report.select == "oracle" else Text(report.select)
        scores = (_percent(report.accuracy["zero_shot"]), _percent(report.accuracy["test"]))
        table.add_row(name, report.cache_name, report.prompts, select, *scores)
    return table


def _facts() -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f} %"
