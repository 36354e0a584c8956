"""`adapters eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.commands.shared.caches import open_cache
from adapters.commands.shared.html_option import Html, check_html, write_page
from adapters.commands.shared.shared_options import Prior, RunName, Transductive
from adapters.errors import AdapterError
from adapters.show.answers_told import answers_told
from adapters.show.numbers import percent, within
from adapters.show.output_files import check_output
from adapters.show.together_told import together_named, together_told
from featcache.commands.shared.options import Device, Json, Root
from featcache.commands.shared.show import show
from featcache.show.page import Facts, Page, Styled, Table

if TYPE_CHECKING:
    from adapters.html.pictures import Pictures
    from adapters.runs.evaluate import Evaluation


def evaluate(
    run: RunName,
    cache: Annotated[str | None, typer.Option(help="The cache it was fitted on, if that has moved.")] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv|.parquet",
            help="Also write a row an image: label, prediction, how sure, and the most similar shot.",
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="A CSV of id,label to score on. Default: the labels that it was fitted with.")
    ] = None,
    prior: Prior = None,
    transductive: Transductive = False,
    html: Html = None,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Score a saved head again, class by class."""
    from adapters.runs.evaluate import evaluate
    from adapters.runs.image_rows import check_images_file, write_image_rows

    check_html(html)
    if html and (prior or transductive):
        raise AdapterError(
            "--html shows a head that answers each image by itself: leave out --prior and --transductive"
        )
    if images:
        check_images_file(images)
        check_output(images, "--images")
    opened = open_cache(cache, root) if cache else None
    found = evaluate(
        run,
        cache=opened,
        split=split,
        labels=labels,
        root=root,
        device=device,
        by_image=images is not None,
        prior=prior,
        transductive=transductive,
    )
    if images and found.by_image is not None:
        write_image_rows(images, found.by_image)
    show(found.to_json, lambda: evaluation_page(found), json=json)

    def page() -> tuple[str, Pictures]:
        from adapters.pages.run import run_page

        return run_page(run, cache=opened, split=split, labels=labels, root=root, device=device)

    write_page(html, page)


def evaluation_page(found: Evaluation) -> Page:
    """A saved head's scores, class by class, and what it confuses."""
    scores = found.scores
    accuracy, balanced = scores.accuracy, scores.balanced_accuracy
    told = [
        ("accuracy", f"{percent(accuracy)} of {found.images:,} images (95 %: {within(scores.accuracy_interval)})"),
        ("balanced", f"{percent(balanced)}, the mean over classes (95 %: {within(scores.balanced_accuracy_interval)})"),
        ("macro F1", percent(scores.macro_f1)),
        *([("top 5", percent(scores.top5))] if scores.top5 is not None else []),
        ("NLL, Brier", f"{scores.nll:.4f}, {scores.brier:.4f}"),
        ("ECE", percent(scores.ece)),
        *answers_told(found.answers),
        *together_told(found.together),
        *([("labels", found.labels)] if found.labels else []),
        *([("note", found.note)] if found.note else []),
    ]
    classes = Table(
        ("class", "images", "accuracy"),
        [(row["class"], str(row["images"]), percent(row["accuracy"])) for row in found.per_class],
        numbers=("images", "accuracy"),
    )
    confusions = Table(
        ("class", "taken for", "images", "share"),
        [(row["class"], row["predicted"], str(row["images"]), percent(row["share"])) for row in found.confusions],
        title="Most frequent confusions",
        numbers=("images", "share"),
    )
    confused = [confusions] if found.confusions else []
    title = together_named(f"{found.method} on {found.split}", found.together)
    return Page([Facts(told, title), classes, *confused, _comparison(found)])


def _comparison(found: Evaluation) -> str:
    if found.together is not None:
        alone = "" if found.stored["accuracy"] is None else f": {percent(found.stored['accuracy'])} was saved"
        return f"Not comparable with the head that answers each image by itself{alone}."
    if found.reproduced is None:
        on_these = " on these labels" if found.labels else ""
        return f"No accuracy of this split{on_these} was saved to compare with."
    if found.reproduced:
        return "The saved accuracy is reproduced."
    return Styled(f"The saved accuracy is another: {percent(found.stored['accuracy'])}.", "red")
