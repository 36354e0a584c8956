"""`adapters bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.bench.formats.formats import FORMATS, ON_SCREEN
from adapters.bench.protocols.protocols import DEFAULT_PROTOCOL, PROTOCOLS
from adapters.commands.shared.caches import open_cache, open_caches
from adapters.commands.shared.html_option import Html, check_html, write_page
from adapters.commands.shared.shared_options import (
    AllowFewer,
    Labels,
    Prompts,
    Seeds,
    Shots,
    Weights,
    draws_given,
    select_option,
)
from adapters.errors import AdapterError
from adapters.show.output_files import check_output
from featcache.commands.shared.choices import choice
from featcache.commands.shared.options import Device, Json, Root
from featcache.commands.shared.show import show, tell

if TYPE_CHECKING:
    from featcache.cache.reading import Cache


def bench(
    methods: Annotated[str, typer.Option(help="Methods, such as clip,tip,gda (see adapters list), or all.")] = "all",
    shots: Shots = "1,2,4,8,16",
    seeds: Seeds = "1,2,3",
    cache: Annotated[
        list[str] | None,
        typer.Option(
            help="A cache's name, folder or URL; may be given several times. Default: the one extracted last. Under "
            "cross-dataset the first is fitted on, and the others are only tested on."
        ),
    ] = None,
    join: Annotated[
        bool,
        typer.Option("--join", help="Join the caches, of the same images by different encoders, into one table."),
    ] = False,
    weights: Weights = None,
    protocol: Annotated[str, choice(of=PROTOCOLS, help="On which classes and caches heads are fitted, and tested.")] = (
        DEFAULT_PROTOCOL
    ),
    tasks: Annotated[int | None, typer.Option(min=2, help="Number of tasks of the incremental protocol.")] = None,
    select: Annotated[
        str | None,
        select_option(
            "What may choose hyper-parameters, of all methods. Default: each method's own, as in `adapters fit`."
        ),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Also fit temperatures on what --select allows.")
    ] = False,
    prompts: Prompts = None,
    labels: Labels = None,
    allow_fewer: AllowFewer = False,
    out: Annotated[
        Path | None, typer.Option(help="Where results are kept and continued. Default: a folder under ROOT/bench.")
    ] = None,
    table: Annotated[str, choice("--format", of=FORMATS, help="How to show the table.")] = ON_SCREEN,
    plot: Annotated[Path | None, typer.Option(help="Draw accuracy against shots to this .svg or .png file.")] = None,
    html: Html = None,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Fit and score methods side by side over shots and seeds.

    Stop it at any moment: the same command continues, and finished cells are not run again. Results are also kept as
    results.csv, results.parquet and results.json.
    """
    from adapters.bench.benchmark import run
    from adapters.bench.page import bench_html

    check_html(html)
    asked, several = draws_given(shots, seeds)
    if plot:
        from adapters.show.plotting import check_suffix

        plot = plot.expanduser()
        check_suffix(plot)  # before the work, not after it
        check_output(plot, "--plot")
    results = run(
        methods,
        caches=_opened(cache, weights, root, labels, join=join),
        shots=asked,
        seeds=several,
        select=select,
        protocol=protocol,
        tasks=tasks,
        calibrate=calibrate,
        prompts=prompts,
        allow_fewer=allow_fewer,
        out=out,
        root=root,
        device=device,
        progress=True,
    )
    show(results.to_json, lambda: FORMATS[table](results.tables), json=json)
    if plot:
        plot.parent.mkdir(parents=True, exist_ok=True)
        results.plot(plot)
    write_page(html, lambda: (bench_html(results.to_json()), None))
    kept = f"results.csv, .parquet and .json are in {results.folder}"
    tell(f"{results.ran} cells computed, {results.found} found done; {kept}")


def _opened(
    names: list[str] | None, weights: str | None, root: str | None, labels: Path | None, *, join: bool
) -> list[Cache]:
    """One cache a table."""
    if join:
        return [open_caches(names, weights, root, labels)]
    if weights is not None:
        raise AdapterError(f"--weights {weights} given without --join: type --join --cache A --cache B")
    return [open_cache(name, root, labels) for name in names or [""]]
