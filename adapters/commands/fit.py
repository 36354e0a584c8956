"""`adapters fit`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.commands.shared.caches import open_cache, open_caches
from adapters.commands.shared.html_option import Html, check_html, write_page
from adapters.commands.shared.next_step import next_step
from adapters.commands.shared.shared_options import (
    AllowFewer,
    Joined,
    Labels,
    Prior,
    Prompts,
    Transductive,
    Weights,
    numbers,
    select_option,
    shots_given,
)
from adapters.joining.places import told
from adapters.methods import DEFAULT
from adapters.show.answers_told import answers_told
from adapters.show.numbers import MISSING, percent, points, shots_of, within
from adapters.show.together_told import together_named, together_told
from featcache.commands.shared.options import Device, Json, Root
from featcache.commands.shared.show import show
from featcache.show.page import Facts, Page, Styled, Table, Typed

if TYPE_CHECKING:
    from adapters.fitting.over_seeds import OverSeeds
    from adapters.html.pictures import Pictures
    from adapters.runs.report import Report
    from featcache.cache.reading import Cache


def fit(
    context: typer.Context,
    shots: Annotated[
        str,
        typer.Option(
            metavar="K|all", help="Labelled images a class; all: every labelled training image, whatever their number."
        ),
    ],
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="A method's name; `adapters list` shows all.")
    ] = DEFAULT,
    seed: Annotated[int, typer.Option(help="Seed of the few-shot draw and of the training.")] = 1,
    seeds: Annotated[
        str | None, typer.Option(help="Instead of --seed: several, such as 1,2,3; all are told, the first is saved.")
    ] = None,
    cache: Joined = None,
    weights: Weights = None,
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
    labels: Labels = None,
    allow_fewer: AllowFewer = False,
    prompts: Prompts = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Also fit a temperature on what --select allows; accuracy stays.")
    ] = False,
    reject: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help='Also learn to answer "none of these", for at most this share (0 to 1) of known images, such as 0.05.',
        ),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Also learn sets of classes that hold the truth in this share (0 to 1) of cases, such as 0.9.",
        ),
    ] = None,
    refit: Annotated[
        bool,
        typer.Option(
            "--refit",
            help="When all is chosen, fit once more on train and val; that head is kept and scored on test.",
        ),
    ] = False,
    prior: Prior = None,
    transductive: Transductive = False,
    meta_train: Annotated[
        list[str] | None,
        typer.Option(help="For meta: a cache to learn on before adapting to this one; may be given several times."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to save the head. Default: a folder under ROOT/runs.")] = None,
    html: Html = None,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Fit a head on K images a class and score it, with zero-shot beside it.

    Options of a method are given by their names, for example `--alpha 0.4 --epochs 50`;
    `adapters list METHOD` shows them with their defaults.
    """
    from adapters.answers.shares import check_shares
    from adapters.commands.shared.options import method_and_options, parse_options

    check_html(html)
    check_shares(reject, coverage)
    method, words = method_and_options(method, context.args)
    params = parse_options(method, words)
    several = [seed] if seeds is None else numbers("--seeds", seeds)
    options: dict[str, Any] = dict(
        cache=open_caches(cache, weights, root, labels),
        shots=shots_given(shots),
        select=select,
        params=params,
        indices=indices,
        allow_fewer=allow_fewer,
        prompts=prompts,
        calibrate=calibrate,
        reject=reject,
        coverage=coverage,
        refit=refit,
        prior=prior,
        transductive=transductive,
        meta_train=[open_cache(name, root) for name in meta_train or []],
        out=out,
        root=root,
        device=device,
    )
    from adapters.fitting.fit import fit  # what is typed wrongly is told before this has imported PyTorch
    from adapters.fitting.over_seeds import fit_over_seeds

    if len(several) == 1:
        report = fit(method, seed=several[0], **options)
        show(report.to_json, lambda: report_page(report, root), json=json)
        write_page(html, lambda: _html(report, options["cache"], root, device))
    else:
        found = fit_over_seeds(method, several, **options)
        show(found.to_json, lambda: seeds_page(found, root), json=json)
        write_page(html, lambda: _html(found.reports[0], options["cache"], root, device))


def _html(report: Report, cache: Cache, root: str | None, device: str) -> tuple[str, Pictures]:
    from adapters.pages.run import run_page

    return run_page(report.run, cache=cache, root=root, device=device)


def report_page(report: Report, root: str | None) -> Page:
    """The head beside zero-shot, how both came about, and what to type next under the root that was given."""
    encoder, regime = Path(report.model).name, report.regime.title
    title = f"{report.dataset} · {encoder} · {shots_of(report.shots)} · seed {report.seed} · select: {regime}"
    heading = Styled(title, "bold", shouts=report.regime.shouted)
    return Page([_scores(report, heading), *remarks_of(report), *_mixture(report), Facts(_facts(report, root))])


def seeds_page(found: OverSeeds, root: str | None) -> Page:
    """The accuracies of every seed and their mean, above what was found with the first."""
    rows = [
        (str(each.seed), percent(each.accuracy["zero_shot"]), percent(each.accuracy["test"])) for each in found.reports
    ]
    spreads = [points(*found.spread(name)) + " %" for name in ("zero_shot", "test")]
    first = found.reports[0]
    title = f"{len(rows)} seeds; below, and saved: seed {first.seed}"
    table = Table(("seed", "zero-shot", first.method), [*rows, ("mean", *spreads)], title, ("zero-shot", first.method))
    return Page([table, *report_page(first, root).parts])


def _scores(report: Report, heading: str) -> Table:
    """Zero-shot and the head; where classes differ in size, the mean of the classes' accuracies comes first."""
    assert report.scores is not None
    kinds = ["accuracy", "balanced_accuracy"]
    columns = ["test accuracy", "95 %", "balanced", "95 %"]
    if report.uneven:
        kinds, columns = kinds[::-1], columns[2:] + columns[:2]
    elif report.imbalance == 1.0:  # the two are one
        kinds, columns = kinds[:1], columns[:2]
    rows = []
    for name, which in (("zero-shot", "zero_shot"), (Styled(report.method, "bold"), "test")):
        scores = report.scores[which]
        assert scores is not None
        cells = [cell for kind in kinds for cell in (percent(scores[kind]), within(scores[f"{kind}_interval"]))]
        val = percent(report.accuracy["val"]) if which == "test" else ""
        cells = [Styled(cells[0], "bold") if which == "test" else cells[0], *cells[1:]]
        rows.append([name, *cells, *([val] if report.accuracy["val"] is not None else []), percent(scores["ece"])])
    if (seen := report.together) is not None:
        cells = [
            cell
            for kind in kinds
            for cell in (percent(seen["scores"][kind]), within(seen["scores"][f"{kind}_interval"]))
        ]
        no_val = [""] if report.accuracy["val"] is not None else []
        rows.append([together_named(report.method, seen), *cells, *no_val, percent(seen["scores"]["ece"])])
    columns += (
        ["val accuracy" + (", before the refit" if report.refit else "")] if report.accuracy["val"] is not None else []
    )
    return Table(("", *columns, "ECE"), rows, heading, numbers=(*columns, "ECE"))


def _mixture(report: Report) -> list[Table | str]:
    """What `auto` mixed, and why."""
    if report.explanation is None:
        return []
    columns = ("candidate", "weight", "held-out accuracy", "held-out NLL")
    rows = [
        (
            each["name"],
            percent(each["weight"]),
            percent(each["accuracy"]) or MISSING,
            MISSING if each["nll"] is None else f"{each['nll']:.3f}",
        )
        for each in report.explanation["candidates"]
    ]
    return [Table(columns, rows, "Mixed from", columns[1:]), f"Why: {report.explanation['why']}."]


def remarks_of(report: Report) -> list[str]:
    """What should be known of the numbers, a line each."""
    told = [f"the largest class has {percent(report.largest_class)} of the test images"] if report.uneven else []
    return [Styled(f"! {remark}", "yellow") for remark in (*told, *(report.remarks or ()))]


def _facts(report: Report, root: str | None) -> list[tuple[str, str]]:
    settings = [f"{name} {_short(value)}" for name, value in report.hyperparameters.items() if value is not None]
    facts = [
        ("seconds", ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in report.seconds.items())),
        ("trained", f"{report.parameters:,} numbers on {report.images} images"),
        ("settings", ", ".join(settings) or "none"),
    ]
    if report.alpha_text:
        facts.append(("alpha", report.alpha_text))
    if report.temperature != 1.0:
        facts.append(("temperature", f"{report.temperature:.3g}"))
    facts += [("refit", report.refit["told"])] if report.refit else []
    facts += answers_told(report.answers)
    facts += together_told(report.together)
    by = report.regime.meaning if report.explanation is None else "the shots, held out in turn: the weights above"
    facts.append(("chosen by", by))
    facts.append(("cache", f"{report.cache_name} (prompts: {report.prompts})"))
    if report.joined is not None:
        facts.append(("joined", told(report.joined)))
    if report.labels is not None:
        facts.append(("labels", f"mended by {report.labels['file']}"))
    if report.note:
        facts.append((Styled("note", "yellow"), report.note))
    from adapters.runs.mirror import kept_at

    kept = kept_at(report.run, root)
    facts.append(("saved", kept))
    facts.append(("predict", Typed(f"adapters predict {shlex.quote(kept)} IMAGE…")))
    facts.append(("next", Typed(str(next_step(report, root)))))
    return facts


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
