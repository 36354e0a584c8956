"""`featcache import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from featcache.commands.shared.class_words import class_words, classes_json
from featcache.commands.shared.options import Device, Json, Root
from featcache.commands.shared.show import show
from featcache.commands.shared.words import classes, counts, encoder, split_origin
from featcache.errors import DataError
from featcache.places.again import again
from featcache.show.page import Facts, Page, Styled, Typed

if TYPE_CHECKING:
    from featcache.importing.run import ImportReport


def import_embeddings(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A .npz, .npy, .parquet or .safetensors file, a folder of .npy or of .parquet files, or "
            "clip-retrieval's folder. Never a pickle.",
        ),
    ],
    name: Annotated[str | None, typer.Option(help="The cache's name. Default: the source's.")] = None,
    array: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=NAME",
            help="Which array is what, where names do not say it; may be given often. ROLE is embeddings (N, D), "
            "labels, ids, splits, class_names, text (C, D) or (C, T, D), logit_scale, or of one split, such as "
            "train.embeddings. NAME is an array's, or a .npy or .txt file, or `none`; labels=folders takes the "
            "folders of the ids.",
        ),
    ] = None,
    class_names: Annotated[
        str | None,
        typer.Option(help="Class names to use: a text file, one a line, JSON {label: name}, or the names, cat,dog."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="All rows are of this split: train, val or test. Default: as the source says, else 50/20/30 % of each "
            "class."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The encoder that made the embeddings, as for extract. It is taken at your word, and makes text "
            "embeddings where the source has none."
        ),
    ] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="Its pretrained tag or checkpoint file. Default: openai.", show_default=False)
    ] = None,
    templates: Annotated[
        str | None,
        typer.Option(
            help="A file of prompts to make text embeddings of: one template a line, or JSON prompts per class."
        ),
    ] = None,
    logit_scale: Annotated[
        float | None,
        typer.Option(
            help="What cosines are multiplied with, where no --model says it. Default: the source's, else 100."
        ),
    ] = None,
    dtype: Annotated[
        Literal["auto", "float16", "float32"], typer.Option(help="Of the stored embeddings; auto: as they come.")
    ] = "auto",
    on_error: Annotated[
        Literal["fail", "skip"],
        typer.Option(help="What rows do that are zero or not finite: fail the import, or stay empty and be listed."),
    ] = "fail",
    seed: Annotated[int, typer.Option(help="Of the split where the source has none.")] = 0,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Make a cache of embeddings that were made elsewhere; all that is not known of them is shown with every result."""
    from featcache.importing.asked import Asked
    from featcache.importing.run import run_import

    asked = Asked(
        source=source,
        name=name,
        arrays=_pairs(array or []),
        class_names=class_names,
        split=split,
        model=model,
        pretrained=pretrained,
        templates=templates,
        logit_scale=logit_scale,
        dtype=dtype,
        on_error=on_error,
        seed=seed,
        root=root,
        device=device,
    )
    report = run_import(asked)
    show(report.to_json, lambda: import_page(report, root), json=json)


def import_page(report: ImportReport, root: str | None) -> Page:
    """What an import did under the root that was given."""
    cache = report.cache
    manifest, origin = cache.manifest, cache.manifest["provenance"]["imported"]
    done = f"{report.written:,} rows of {origin['file']} in {report.seconds:.1f} s"
    rows = [("imported", done if report.written else f"nothing to do: all {report.found:,} rows are there")]
    if report.written and report.found:
        rows.append(("found done", f"{report.found:,} rows"))
    rows += [("rows", counts(cache.rows)), ("splits", split_origin(manifest["provenance"]["split"]))]
    rows += [("classes", classes(cache.class_names)), ("encoder", encoder(cache.encoder))]
    rows += [("guessed", line) for line in report.told]
    if report.normalised:
        rows.append((Styled("normalised", "yellow"), "every row has length 1: what lengths said is lost"))
    if report.not_known:
        rows.append((Styled("not known", "yellow"), f"{', '.join(report.not_known)}: told beside every result"))
    if report.skipped:
        rows.append((Styled("empty", "yellow"), f"{report.skipped:,} rows; `featcache info {cache.name}` lists them"))
    rows.append(("where", cache.path))
    if {"train", "test"} <= set(cache.splits):
        joined = "" if cache.prompt_sets else "--cache ONE_WITH_TEXT "
        rows.append(("next", Typed(f"adapters fit --shots 4 {joined}--cache {cache.name}{again(root)}")))
    shown = classes_json(manifest, [prompts[0] for prompts in cache.text.prompts] if cache.prompt_sets else [])
    return Page([Facts(rows, title=f"Cache {cache.name}"), *class_words(shown)])


def _pairs(given: list[str]) -> dict[str, str]:
    """`--array ROLE=NAME`, as often as it was given."""
    pairs: dict[str, str] = {}
    for each in given:
        role, equals, name = each.partition("=")
        if not equals or not name or role in pairs:
            problem = "gives a role twice" if role in pairs else "is no ROLE=NAME"
            raise DataError(f"--array {each} {problem}; expected one such as embeddings=image_features")
        pairs[role] = name
    return pairs
