"""Where a run is saved, and all of its files at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.answers.answers import Answers
from adapters.answers.files import write_answers
from adapters.runs.folder import ANSWERS, CARD, INDICES, METRICS, replaced_folder, run_name, slug, write_json
from adapters.runs.model_card import model_card
from adapters.runs.report import Report
from featcache.places.home import runs_folder
from featcache.records import sealed

if TYPE_CHECKING:
    from adapters.head import Head
    from featcache.cache.reading import Cache
    from featcache.cache.text_sets import TextFeatures


def target(report: Report, configuration: Mapping[str, Any], out: Path | str | None, root: str | None) -> Path:
    """The folder of a run: the one given, or one under the root whose name is the same for the same configuration."""
    if out is not None:
        return Path(out).expanduser().resolve()
    added = len(report.added["classes"]) if report.added else 0
    name = run_name(report.method, report.shots, report.seed, report.select, configuration, added=added)
    return runs_folder(root) / slug(report.dataset) / slug(f"{Path(report.model).name}-{report.pretrained}") / name


def save_run(
    head: Head,
    report: Report,
    folder: Path,
    *,
    text: TextFeatures,
    cache: Cache,
    index_content: Mapping[str, Any],
    answers: Answers | None = None,
) -> Report:
    """Save a head with what is known of it, in place of an earlier run there; the report with its place.

    Args:
        head: fitted.
        report: its numbers.
        folder: where to.
        text: of its classes.
        cache: that it was fitted on.
        index_content: the few-shot set, as an index file holds it.
        answers: what it answers beside one class.

    Raises:
        RunError: the place cannot be written, or holds something that is no run.
    """
    report = replace(report, run=str(folder))
    with replaced_folder(folder) as fresh:
        facts: dict[str, Any] = {"labels": report.labels} if report.labels else {}
        facts |= {"added": report.added} if report.added else {}
        if report.answers and answers is not None:
            facts["answers"] = write_answers(answers, fresh / ANSWERS)
        head.save(
            fresh,
            class_names=list(text.class_names),
            prompts={"name": text.name, "prompts": [list(prompts) for prompts in text.prompts]},
            encoder=dict(cache.encoder),
            cache={"name": cache.name, "digest": cache.digest, **cache.how_encoded},
            dataset=report.dataset,
            **facts,
        )
        write_json(fresh / METRICS, sealed(report.to_json()))
        write_json(fresh / INDICES, index_content)
        (fresh / CARD).write_text(model_card(report, text, cache.encoder), encoding="utf-8")
    return report
