"""The page of a saved run: what it is, how well it does, what it gets wrong, and what is wrong with its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adapters.answers.answers import told_of
from adapters.auditing.audit import audit
from adapters.auditing.results import Audit
from adapters.html.cards import Group, classes_in
from adapters.html.document import render
from adapters.html.pictures import Pictures, pictures_of
from adapters.html.tables import Cell, bar, number
from adapters.methods import zero_shot
from adapters.metrics import difference
from adapters.pages.confusions import matrix_of
from adapters.pages.graphs import alpha_graph, reliability_graph, scores_graph
from adapters.pages.seen import Seen, Witness, about
from adapters.runs.evaluate import confusion_matrix
from adapters.runs.its_labels import labels_digest
from adapters.runs.opened import OpenedRun, open_run
from adapters.scores import Scores, logits_in_blocks, score_logits
from adapters.show.answers_told import answers_told
from adapters.show.numbers import MISSING, percent, shots_of, within
from adapters.tasks.split_rows import read_split

if TYPE_CHECKING:
    from featcache.cache.reading import Cache

SHOWN = 18
"""Images of a kind that are shown."""
TWINS = 2
"""Twins that are shown beside a leak."""


def run_page(
    run: str | Path,
    *,
    cache: Cache | None = None,
    split: str = "test",
    labels: str | Path | None = None,
    root: str | None = None,
    device: str = "auto",
    pictures: Pictures | None = None,
) -> tuple[str, Pictures]:
    """The page of a saved run on a split of its cache, and the pictures on it.

    Args:
        run: folder of the run, or its name.
        cache: an opened cache; None opens the one that the run was fitted on.
        split: `train`, `val` or `test`.
        labels: a file of mended labels to score on; None: those that the run was fitted with.
        root: where runs are looked for.
        device: where the head computes.
        pictures: what shows the images; None: the cache's own data set.

    Raises:
        RunError: no such run, it is broken, or it does not belong to this cache.
        CacheError: the run's cache is gone.
        TaskError: the cache has no such split.
    """
    opened = open_run(run, cache=cache, labels=labels, root=root, device=device)
    pictures = pictures_of(opened.cache.manifest) if pictures is None else pictures
    witness = Witness(opened, pictures)
    seen = witness.whole(split)
    text = opened.cache.text_set(opened.report.prompts)
    (baseline,) = logits_in_blocks((zero_shot(text),), seen.rows.blocks())
    counts = confusion_matrix(seen.logits, seen.rows.labels, len(opened.class_names))
    heads = {
        f"zero-shot ({text.name})": score_logits(baseline, seen.rows.labels),
        opened.report.method: score_logits(seen.logits, seen.rows.labels),
    }
    right, other = (logits.argmax(1) == seen.rows.labels for logits in (seen.logits, baseline))
    less = difference(right, other)
    has_test = "test" in opened.cache.splits and opened.cache["test"].labelled.any()
    judged = opened.folder if has_test else None  # whose accuracy is told without leaks
    found = audit(opened.cache, prompts=opened.report.prompts, run=judged, root=root, device=device)
    groups = [*_groups(witness, seen), *_from_audit(witness, found)]
    matrix = matrix_of(witness, seen, counts)
    report = opened.report
    others = {split: seen.rows}
    if split == "test" and "val" in opened.cache.splits and opened.cache["val"].labelled.any():
        others = {"val": read_split(opened.cache, "val"), **others}
    page = render(
        "run.html",
        kind=f"saved head · {split} split",
        title=f"{report.method} on {report.dataset}, {shots_of(report.shots)} a class",
        facts=_facts(opened),
        notes=[*_notes(opened, split), *filter(None, [pictures.told])],
        warning=report.regime.warning,
        split=split,
        tiles=_tiles(heads, less.accuracy, less.interval),
        scores=_scores(heads),
        score_columns=SCORE_COLUMNS,
        scores_graph=scores_graph(heads),
        answers=answers_told(told_of(opened.answers, opened.head, seen.rows)),
        class_columns=CLASS_COLUMNS,
        classes=_classes(counts, opened.class_names),
        matrix=matrix,
        reliability=reliability_graph(opened.head, seen.logits, seen.rows.labels),
        alpha=alpha_graph(opened.head, report, others),
        mixture=report.explanation,
        groups=groups,
        class_names=classes_in(groups),
        pictures=pictures.made,
    )
    return page, pictures


NUMBERS = ("accuracy", "its 95 %", "balanced", "95 % of that", "macro F1", "top 5", "NLL", "Brier", "ECE")
SCORE_COLUMNS = [("head", "text"), *((name, "number") for name in NUMBERS)]
CLASS_NUMBERS = ("recall", "precision", "images", "predicted")
CLASS_COLUMNS = [("class", "text"), ("chart", "drawn"), *((name, "number") for name in CLASS_NUMBERS)]


def _facts(run: OpenedRun) -> list[tuple[str, str]]:
    """What the run is, and what chose its settings."""
    report = run.report
    settings = [f"{name} {_short(value)}" for name, value in report.hyperparameters.items() if value is not None]
    drawn = f"named by {report.indices['file']}" if report.indices["file"] else f"drawn with seed {report.seed}"
    by = report.regime.meaning if report.explanation is None else "the shots, held out in turn"
    mended = run.cache.mended
    return [
        ("method", f"{report.method}: {run.head.source}"),
        ("encoder", f"{Path(report.model).name} ({report.pretrained})"),
        ("shots", f"{report.rows['support']:,} images, {drawn}"),
        ("chosen by", f"{report.regime.title}: {by}"),
        ("settings", ", ".join(settings) or "none"),
        *([("alpha", report.alpha_text)] if report.alpha_text else []),
        *([("temperature", f"{report.temperature:.3g}")] if report.temperature != 1.0 else []),
        ("trained", f"{report.parameters:,} numbers"),
        ("cache", f"{run.cache.name} (prompts: {report.prompts})"),
        *([("labels", mended.told)] if mended else []),
        ("made", report.created),
        ("run", run.folder.name),
    ]


def _notes(run: OpenedRun, split: str) -> list[str]:
    """What must be read with the numbers; remarks are of the test split and of the labels that it was fitted with."""
    report, mended = run.report, run.cache.mended
    same = split == "test" and (mended.digest if mended else None) == labels_digest(report)
    return [f"{note}." for note in (report.note, *((report.remarks or ()) if same else ())) if note]


def _tiles(heads: dict[str, Scores], less: float, interval: Sequence[float]) -> list[tuple[str, str]]:
    baseline, own = heads.values()
    low, high = (100 * end for end in interval)
    return [
        (percent(own.accuracy), f"accuracy (95\u00a0%: {within(own.accuracy_interval)})"),
        (percent(own.balanced_accuracy), f"mean over classes (95\u00a0%: {within(own.balanced_accuracy_interval)})"),
        (percent(baseline.accuracy), f"zero-shot (95\u00a0%: {within(baseline.accuracy_interval)})"),
        (f"{100 * less:+.2f}", f"points above zero-shot (95\u00a0%: {low:+.2f} to {high:+.2f})"),
        (f"{own.rows:,}", "images"),
    ]


def _scores(heads: dict[str, Scores]) -> list[list[Cell]]:
    rows = []
    for name, s in heads.items():
        shares = [number(percent(s.accuracy), s.accuracy), Cell(within(s.accuracy_interval), s.accuracy_interval[0])]
        balanced = s.balanced_accuracy_interval
        shares += [number(percent(s.balanced_accuracy), s.balanced_accuracy), Cell(within(balanced), balanced[0])]
        top = number(percent(s.top5) or MISSING, s.top5)
        others = [number(f"{s.nll:.4f}", s.nll), number(f"{s.brier:.4f}", s.brier), number(percent(s.ece), s.ece)]
        rows.append([Cell(name), *shares, number(percent(s.macro_f1), s.macro_f1), top, *others])
    return rows


def _classes(counts: np.ndarray, names: Sequence[str]) -> list[list[Cell]]:
    """Every class that has images or predictions, the worst recall first."""
    right, images, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    rows = []
    for c in np.flatnonzero((images + predicted) > 0).tolist():
        recall = int(right[c]) / int(images[c]) if images[c] else None
        precision = int(right[c]) / int(predicted[c]) if predicted[c] else None
        told = percent(recall) or MISSING, percent(precision) or MISSING
        drawn = bar(f"{names[c]}: recall {told[0]}, precision {told[1]}", recall, precision)
        rows.append(
            [
                Cell(names[c]),
                number(drawn, recall, f"{names[c]}: recall {told[0]}, precision {told[1]}", "drawn"),
                number(told[0], recall),
                number(told[1], precision),
                number(f"{images[c]:,}", int(images[c])),
                number(f"{predicted[c]:,}", int(predicted[c])),
            ]
        )
    return sorted(rows, key=lambda row: 2.0 if row[2].key == "" else float(row[2].key or 0))


def _groups(witness: Witness, seen: Seen) -> list[Group]:
    """The worst mistakes and the least certain images."""
    worst = seen.wrong[np.argsort(-seen.probability[seen.wrong], kind="stable")][:SHOWN]
    doubtful = np.argsort(seen.probability, kind="stable")[:SHOWN]
    return [
        Group(
            "Worst mistakes",
            f"Wrong answers that the head is surest of: the first {len(worst)} of {len(seen.wrong):,}.",
            witness.cards(seen, worst),
            "The head makes none.",
        ),
        Group(
            "Least certain",
            "Images whose most probable class is least probable, right or wrong.",
            witness.cards(seen, doubtful),
        ),
    ]


def _from_audit(witness: Witness, found: Audit) -> list[Group]:
    """The likely mislabelled and the leaks, of all splits; beside a leak its twins."""
    suspects = found.mislabelled[:SHOWN]
    likely = [[("wrong", about(each.score)), ("perhaps", each.suggested)] for each in suspects]
    leaks = found.leaks.images[:SHOWN]
    twins = {
        image: [each for each in twins.images if each != image and each.split != "test"][:TWINS]
        for twins in found.duplicates
        for image in twins.images
    }
    named = [[("twin of", f"{each.id} ({each.split})") for each in twins[leak]] for leak in leaks]
    return [
        Group(
            "Likely mislabelled",
            "Images of all splits whose label is more likely wrong than right, judged without themselves: the first "
            f"{len(suspects)} of {len(found.mislabelled):,}. `adapters audit --csv FILE` lists all, to be mended.",
            witness.cards_of([each.image for each in suspects], likely),
        ),
        Group(
            "Leaks",
            f"Test images with a twin in train or val: the first {len(leaks)} of {len(found.leaks.images):,}. Accuracy "
            f"of {found.leaks.by} {_or_missing(found.leaks.accuracy_with)} with them, "
            f"{_or_missing(found.leaks.accuracy_without)} without.",
            [
                replace(
                    card,
                    near=[*(witness.pictures.of(each.id, "twin") for each in twins[leak]), *card.near],
                    near_title=f"its twin, and the {card.near_title}",
                )
                for leak, card in zip(leaks, witness.cards_of(leaks, named), strict=True)
            ],
        ),
    ]


def _or_missing(share: float | None) -> str:
    return percent(share) or MISSING


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
