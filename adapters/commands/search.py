"""`adapters search`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adapters.commands.shared.caches import open_caches
from adapters.commands.shared.html_option import Html, check_html, write_page
from adapters.commands.shared.shared_options import (
    AllowFewer,
    Joined,
    Labels,
    Method,
    Prompts,
    Seeds,
    Shots,
    Weights,
    draws_given,
    select_option,
)
from adapters.selection.regimes import SUPPORT
from featcache.commands.shared.options import Device, Json, Root
from featcache.commands.shared.show import show, tell
from featcache.places.again import again


def search(
    context: typer.Context,
    method: Method,
    shots: Shots = "1,2,4,8,16",
    seeds: Seeds = "1,2,3",
    cache: Joined = None,
    weights: Weights = None,
    select: Annotated[str, select_option("What chooses.")] = SUPPORT.name,
    halving: Annotated[
        bool,
        typer.Option("--halving", help="Give up all but the best third after a ninth and after a third of the steps."),
    ] = False,
    prompts: Prompts = None,
    labels: Labels = None,
    allow_fewer: AllowFewer = False,
    out: Annotated[
        Path | None, typer.Option(help="Where results are kept. Default: a folder under ROOT/search.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw accuracy against alpha, or against another option where alpha does not vary, to this .svg or "
            ".png file. Default: in OUT, named after that option: alpha.svg, lr.svg, …"
        ),
    ] = None,
    html: Html = None,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Try every combination of a method's options for every number of shots and seed, as one program.

    Options of a method take several values, `--lr 1e-3,1e-2`, or ranges with both ends, `--alpha 0:1:0.05`;
    `adapters list METHOD` shows them. The whole grid is also kept as search.parquet and search.csv.
    """
    from adapters.commands.shared.options import method_and_options, parse_grid
    from adapters.search.search import run
    from adapters.search.shown.page import search_html

    check_html(html)
    asked, several = draws_given(shots, seeds)
    method, words = method_and_options(method, context.args)
    results = run(
        method,
        parse_grid(method, words),
        cache=open_caches(cache, weights, root, labels),
        shots=asked,
        seeds=several,
        select=select,
        halving=halving,
        prompts=prompts,
        allow_fewer=allow_fewer,
        out=out,
        plot=plot,
        root=root,
        device=device,
        progress=True,
    )
    show(results.to_json, results.table, json=json)
    tell(f"search.parquet, .csv and .json are in {results.folder}; picture: {results.picture}")
    write_page(html, lambda: (search_html(results.to_json()), None))
    if results.next_command:
        tell(f"keep one: {results.next_command}{again(root)}")
