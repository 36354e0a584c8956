"""`featcache extract`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from featcache.commands.shared.choices import choice
from featcache.commands.shared.class_words import class_words, classes_json
from featcache.commands.shared.options import Device, Json, Root
from featcache.commands.shared.show import show
from featcache.commands.shared.words import (
    classes,
    counts,
    decoded,
    encoder,
    images,
    left_out,
    left_out_paths,
    left_out_words,
    split_origin,
)
from featcache.datasets.readers.bounded import MOST_BYTES
from featcache.datasets.sources.sources import ENTRIES
from featcache.extraction.engines.engines import DEFAULT_ENGINE, ENGINES
from featcache.places.again import again
from featcache.progress import clock
from featcache.show.page import Facts, Page, Styled, Typed

if TYPE_CHECKING:
    from featcache.cache.reading import Cache
    from featcache.extraction.extract import ExtractionReport
    from featcache.extraction.planned import Planned

DATA, ENCODER, SPEED, CLUSTER, OUTPUT = "Data", "Encoder", "Speed", "Several GPUs, a cluster", "Output"
"""Panels of the help."""


def extract(
    model: Annotated[
        str,
        typer.Option(
            help="open_clip's name (ViT-B/16), `tiny` (embedded), a local open_clip model directory, CLIP-MoE's "
            "checkpoint, or `timm:NAME` (images alone, to be joined with a cache that has text).",
            rich_help_panel=ENCODER,
        ),
    ],
    dataset: Annotated[
        str,
        typer.Option(
            help="\n\n".join(
                ["A data set's name (featcache datasets), or:", *(f"- {entry.meaning}" for entry in ENTRIES.values())]
            ),
            rich_help_panel=DATA,
        ),
    ],
    pretrained: Annotated[
        str | None,
        typer.Option(
            help="A pretrained tag (featcache models MODEL), a checkpoint file, or `random` (only to measure speed). "
            "Default: openai.",
            show_default=False,
            rich_help_panel=ENCODER,
        ),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(
            help="Where the images are: a folder or a zip. Default: downloaded, where possible.", rich_help_panel=DATA
        ),
    ] = None,
    splits: Annotated[
        str | None, typer.Option(help="Only these splits, such as train,test.", rich_help_panel=DATA)
    ] = None,
    split_file: Annotated[
        Path | None,
        typer.Option(
            help="CoOp's split_zhou_*.json. One that lies beside the images is found by itself.", rich_help_panel=DATA
        ),
    ] = None,
    class_names: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|cat,dog",
            help="Class names to use: a text file, one a line, or JSON {folder: name}; or the names themselves. They "
            "are the classes of images without labels.",
            rich_help_panel=DATA,
        ),
    ] = None,
    class_depth: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many folders deep class folders lie. Default: 1, but where the folders there hold folders and no "
            "image, those that hold images are the classes.",
            rich_help_panel=DATA,
        ),
    ] = None,
    path_column: Annotated[
        str | None,
        typer.Option(
            help="Of a table that lists images: its column of files. Default: as it is called.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    label_column: Annotated[str | None, typer.Option(help="Likewise, of labels.", rich_help_panel=DATA)] = None,
    split_column: Annotated[
        str | None, typer.Option(help="Likewise, of splits; `none`: it has none.", rich_help_panel=DATA)
    ] = None,
    image_dir: Annotated[
        Path | None,
        typer.Option(
            help="The folder that its files are relative to. Default: its own, or one below that has all of them.",
            rich_help_panel=DATA,
        ),
    ] = None,
    suffix: Annotated[
        str | None,
        typer.Option(
            help="What its names of files lack at the end, such as .jpg. Default: found out.", rich_help_panel=DATA
        ),
    ] = None,
    templates: Annotated[
        str | None,
        typer.Option(
            help="A prompt set of the data set, or a file: one template a line, or JSON prompts per class.",
            rich_help_panel=ENCODER,
        ),
    ] = None,
    views: Annotated[
        int, typer.Option(min=0, help="Augmented views of each training image.", rich_help_panel=ENCODER)
    ] = 0,
    keep: Annotated[
        Literal["pre-projection"] | None,
        typer.Option(
            help="Keep what comes before the image tower's last projection too, and the projections of both towers: "
            "for `adapters fit prolip` and `semobridge`.",
            show_default=False,
            rich_help_panel=ENCODER,
        ),
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "fp16", "bf16"],
        typer.Option(help="Of the encoder; auto: fp16 on CUDA, else fp32.", rich_help_panel=ENCODER),
    ] = "auto",
    dtype: Annotated[
        Literal["float16", "float32"], typer.Option(help="Of the stored embeddings.", rich_help_panel=ENCODER)
    ] = "float16",
    batch_size: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto",
            help="Images encoded together; auto: the size that a short measurement finds fastest here. Default: 32 on "
            "a CPU, 256 on a GPU.",
            rich_help_panel=SPEED,
        ),
    ] = None,
    decode: Annotated[
        Literal["exact", "fast"],
        typer.Option(
            help="fast: JPEGs are decoded by the GPU, or at a fraction of their size on a CPU. The embeddings differ a "
            "little from open_clip's; the measured cosine is told and kept.",
            rich_help_panel=ENCODER,
        ),
    ] = "exact",
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Decoding processes. Default: one for each core but one, at most 8; beside a GPU one for each, at "
            "most 16.",
            rich_help_panel=SPEED,
        ),
    ] = None,
    on_error: Annotated[
        Literal["fail", "skip"],
        typer.Option(
            help="What an unreadable image does: fail the run, or leave its row empty and list it.",
            rich_help_panel=DATA,
        ),
    ] = "fail",
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most this many rows of each split, balanced.", rich_help_panel=DATA)
    ] = None,
    max_bytes: Annotated[
        int,
        typer.Option(
            min=1,
            help="Of an image's file: a larger one is unreadable, before it fills the memory.",
            rich_help_panel=DATA,
        ),
    ] = MOST_BYTES,
    check: Annotated[
        bool | None,
        typer.Option(
            "--check/--no-check",
            help="Look at the headers of all images before any is encoded, and list those that cannot be read, on the "
            "screen and as CSV. Default: where that takes under 5 % of the run; not behind URLs.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of --limit, of views, and of the split where the set has none.", rich_help_panel=DATA)
    ] = 0,
    name: Annotated[
        str | None,
        typer.Option(help="The cache's name. Default: made from data set and model.", rich_help_panel=OUTPUT),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Print shards, done and left, with an estimate once a run has begun, and encode nothing.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    engine: Annotated[
        str,
        choice(
            of=ENGINES,
            help="Where to encode: on this machine, or on a Ray cluster (an actor for each GPU).",
            panel=CLUSTER,
        ),
    ] = DEFAULT_ENGINE,
    root: Root = None,
    device: Device = "auto",
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="all|0,1,…",
            help="Several GPUs in place of --device, one process for each; also names, such as cpu,cpu.",
            rich_help_panel=CLUSTER,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT|auto",
            help="Of the cluster of --engine ray. Default: RAY_ADDRESS, or the one that runs here, or a new one here.",
            rich_help_panel=CLUSTER,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Encode a data set once; continue what was begun, or say that all is there already.

    Stop it at any moment: the same command continues, and ends with the same bits. After images have changed it makes
    another cache, and encodes what no cache under the root has.
    """
    from featcache.extraction.extract import run_extraction
    from featcache.extraction.planned import planned
    from featcache.extraction.request import Request

    request = Request(
        model=model,
        dataset=dataset,
        pretrained=pretrained,
        data_root=data_root,
        splits=splits.split(",") if splits else None,
        split_file=split_file,
        class_names=class_names,
        class_depth=class_depth,
        path_column=path_column,
        label_column=label_column,
        split_column=split_column,
        image_dir=image_dir,
        suffix=suffix,
        templates=templates,
        views=views,
        keep=keep,
        precision=precision,
        dtype=dtype,
        batch_size=int(batch_size) if batch_size and batch_size.isdecimal() else batch_size,  # type: ignore[arg-type]
        decode=decode,
        workers=workers,
        on_error=on_error,
        limit=limit,
        max_bytes=max_bytes,
        check=check,
        seed=seed,
        engine=engine,
        device=device,
        devices=devices,
        address=address,
        root=root,
        name=name,
    )
    if plan:
        work = planned(request)
        show(work.to_json, lambda: plan_page(work), json=json)
        return
    report = run_extraction(request, progress=True)
    show(lambda: extraction_json(report), lambda: extraction_page(report, root), json=json)


def plan_page(work: Planned) -> Page:
    """What a run would do."""
    rows: list[tuple[str, str]] = [("rows", counts(work.rows))]
    if work.finished:
        rows.append(("left", "nothing: it is finished"))
    elif work.rows_left == 0:
        rows.append(("left", "no images, but prompts or the last check"))
    elif work.shards is None or work.done is None:
        rows.append(("left", f"all {work.rows_left:,} rows; a first run measures the speed and cuts shards by it"))
    else:
        rows.append(("shards", f"{work.shards:,}: {work.done:,} done, {work.shards - work.done:,} left"))
        rate, seconds = work.images_per_second or 0.0, work.seconds_left or 0.0
        rows.append(("left", f"{work.rows_left:,} rows, about {clock(seconds)} at the {rate:,.0f} images/s measured"))
    return Page([Facts([*rows, ("where", work.path)], title=f"Cache {work.name}")])


def extraction_json(report: ExtractionReport) -> dict[str, Any]:
    """The object that `featcache extract --json` prints."""
    manifest = report.cache.manifest
    more = {"left_out": left_out(manifest), "left_out_paths": left_out_paths(manifest)}
    return {**report.to_json(), "classes": _classes(report.cache), **more}


def extraction_page(report: ExtractionReport, root: str | None) -> Page:
    """What `extract` did under the root that was given."""
    cache = report.cache
    rows = [*_done(report, root), ("rows", _rows(report))]
    rows += [("unlabelled", counts(cache.unlabelled))] if cache.unlabelled else []
    rows += _instead_of(report, root)
    rows += [("splits", split_origin(cache.manifest["provenance"]["split"])), ("classes", classes(cache.class_names))]
    rows.append(("encoder", encoder(cache.encoder)))
    if "batch_sizes" in cache.manifest["plan"]:
        size = cache.manifest["identity"]["batch_size"]
        rows.append(("batch size", f"{size}, the fastest that was tried here; it stays this cache's"))
    rows += decoded(cache.manifest)
    if cache.encoder["pretrained"] == "random":
        warning = Styled("random weights", "bold red")
        rows.append((warning, "good for measuring speed only; accuracies mean nothing"))
    rows += [("guessed", line) for line in cache.manifest["provenance"].get("told", [])]
    rows += [(Styled("left out", "yellow"), words) for words in left_out_words(cache.manifest)]
    rows += [("prompts", f"{cache.text.name}: {cache.text.prompts[0][0]}")] if cache.prompt_sets else []
    rows.append(("where", cache.path))
    if {"train", "test"} <= set(cache.splits):
        if sum(cache.unlabelled.values()) < sum(cache.rows.values()):
            rows.append(("check", Typed(f"adapters audit {cache.name}{again(root)}")))
        rows.append(("next", Typed(_next_command(cache, root))))
    return Page([Facts(rows, title=f"Cache {cache.name}"), *class_words(_classes(cache))])


def _classes(cache: Cache) -> list[dict[str, Any]]:
    return classes_json(cache.manifest, [prompts[0] for prompts in cache.text.prompts] if cache.prompt_sets else [])


def _rows(report: ExtractionReport) -> str:
    """Rows of each split, and how many of them are empty."""
    told = counts(report.cache.rows)
    if not report.skipped:
        return told
    return f"{told} (empty: {counts({split: n for split, n in report.cache.completion['unreadable'].items() if n})})"


def _done(report: ExtractionReport, root: str | None) -> list[tuple[str, str]]:
    """What was there, and what this run added."""
    cache = report.cache
    if report.encoded:
        rate = report.images_per_second or 0.0
        encoded = f"{images(report.encoded)} in {report.encoding_seconds:.1f} s ({rate:,.0f} images/s)"
        rows = [("encoded", encoded)]
        if len(report.encoded_by) > 1:
            rows.append(("by", ", ".join(f"{place}: {count:,}" for place, count in report.encoded_by.items())))
        rows += [("found done", images(report.resumed))] if report.resumed else []
    elif report.reused:
        rows = [("encoded", "nothing")]
    else:
        readable = f"{report.resumed:,} readable" if report.skipped else f"{sum(cache.rows.values()):,}"
        rows = [("nothing to do", f"all {readable} images were encoded before ({report.seconds:.2f} s to check)")]
    if report.reused:
        rows.append(("re-used", f"{report.reused:,} images that other caches have, bit for bit"))
    if report.skipped:
        listed = f"`featcache info {cache.name}{again(root)}` lists them"
        rows.append(("unreadable", f"{images(report.skipped)}; {listed}"))
    return rows


def _instead_of(report: ExtractionReport, root: str | None) -> list[tuple[str, str]]:
    """That the data set has gone to another cache before its images changed."""
    before = report.instead_of
    if before is None:
        return []
    told = (
        f"{before}, which is of the images as they were and stays; `featcache remove {before}{again(root)}` removes it"
    )
    return [("instead of", told)]


def _next_command(cache: Cache, root: str | None) -> str:
    """What to type to fit a first head, with as many shots as every class has, at most 4; or else to get labels."""
    import numpy as np

    per_class = np.bincount(cache["train"].labels[cache["train"].labelled], minlength=len(cache.class_names))
    if cache.unlabelled and not (len(per_class) and per_class.all()):
        return f"adapters suggest {cache.name} --csv labels.csv{again(root)}"
    shots = min(4, max(1, int(per_class.min())))
    joined = "" if cache.prompt_sets else "--cache ONE_WITH_TEXT "
    return f"adapters fit --shots {shots} {joined}--cache {cache.name}{again(root)}"
