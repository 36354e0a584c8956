"""`adapters fit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.commands.caches import open_cache
from adapters.commands.shared_options import AllowFewer, Method, OneCache, Prompts, select_option
from adapters.show.numbers import percent
from featcache.commands.options import Device, Json, Root, again
from featcache.commands.show import show
from featcache.show.page import Facts, Page, Styled, Table, Typed

if TYPE_CHECKING:
    from adapters.runs.report import Report


def fit(
    context: typer.Context,
    method: Method,
    shots: Annotated[int, typer.Option(min=1, help="Labelled images a class.")],
    seed: Annotated[int, typer.Option(help="Of the few-shot draw and of the training.")] = 1,
    cache: OneCache = None,
    select: Annotated[
        str | None,
        select_option(
            "What may choose hyper-parameters. Default: the method's own, which `adapters list` shows, unless what it "
            "would choose is given; else none."
        ),
    ] = None,
    indices: Annotated[
        Path | None, typer.Option(help="A CoOp index file (shot_4-seed_1.json) that names the shots.")
    ] = None,
    allow_fewer: AllowFewer = False,
    prompts: Prompts = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Also fit a temperature on what --select allows; accuracy stays.")
    ] = False,
    meta_train: Annotated[
        list[str] | None,
        typer.Option(help="Of meta: a cache to learn on before adapting to this one; may be given several times."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to save the head. Default: a folder under ROOT/runs.")] = None,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Fit a head on K images a class and score it, with zero-shot beside it.

    Options of a method are given by their names, for example `--alpha 0.4 --epochs 50`;
    `adapters list METHOD` shows them with their defaults.
    """
    from adapters.commands.options import parse_options
    from adapters.fitting.fit import fit

    params = parse_options(method, context.args)
    report = fit(
        method,
        cache=open_cache(cache, root),
        shots=shots,
        seed=seed,
        select=select,
        params=params,
        indices=indices,
        allow_fewer=allow_fewer,
        prompts=prompts,
        calibrate=calibrate,
        meta_train=[open_cache(name, root) for name in meta_train or []],
        out=out,
        root=root,
        device=device,
    )
    show(report.to_json, lambda: report_page(report, root), json=json)


def report_page(report: Report, root: str | None) -> Page:
    """The head beside zero-shot, how both came about, and what to type next under the root that was given."""
    encoder, regime = Path(report.model).name, report.regime.title
    title = f"{report.dataset} · {encoder} · {report.shots} shots · seed {report.seed} · select: {regime}"
    columns = ("", "test accuracy", "val accuracy", "ECE")
    of_head = (percent(report.accuracy["val"]), percent(report.ece["test"]))
    rows = [
        ("zero-shot", percent(report.accuracy["zero_shot"]), "", percent(report.ece["zero_shot"])),
        (Styled(report.method, "bold"), Styled(percent(report.accuracy["test"]), "bold"), *of_head),
    ]
    heading = Styled(title, "bold", shouts=report.regime.shouted)
    return Page([Table(columns, rows, heading, numbers=columns[1:]), Facts(_facts(report, root))])


def _facts(report: Report, root: str | None) -> list[tuple[str, str]]:
    settings = [f"{name} {_short(value)}" for name, value in report.hyperparameters.items() if value is not None]
    facts = [
        ("seconds", ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in report.seconds.items())),
        ("trained", f"{report.parameters:,} numbers on {report.rows['support']} images"),
        ("settings", ", ".join(settings) or "none"),
    ]
    if report.alpha_text:
        facts.append(("alpha", report.alpha_text))
    if report.temperature != 1.0:
        facts.append(("temperature", f"{report.temperature:.3g}"))
    facts.append(("chosen by", report.regime.meaning))
    facts.append(("cache", f"{report.cache_name} (prompts: {report.prompts})"))
    if report.note:
        facts.append((Styled("note", "yellow"), report.note))
    bench = f"adapters bench --methods {report.method} --shots {report.shots} --seeds 1,2,3 --cache {report.cache_name}"
    bench += f" --select {report.select}" if report.regime.chooses else ""
    bench += again(root)
    facts.append(("saved", report.run))
    facts.append(("predict", Typed(f"adapters predict {report.run} IMAGE…")))
    facts.append(("more seeds", Typed(f"{bench}   (one seed says little)")))
    return facts


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
