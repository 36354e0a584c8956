"""Saved runs side by side on the same test rows: scores, paired differences, and in what they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.errors import RunError
from adapters.joining.joined_cache import JoinedCache
from adapters.joining.opening import open_place
from adapters.methods import load
from adapters.metrics import Difference, difference
from adapters.runs.catalogue import find_run
from adapters.runs.its_labels import labels_digest, with_labels
from adapters.runs.opened import check_cache
from adapters.runs.report import Report
from adapters.scores import Scores, logits_in_blocks, score_logits
from adapters.tasks.seen import seen_by
from adapters.tasks.split_rows import SplitRows, read_split

if TYPE_CHECKING:
    from featcache.cache.reading import Cache

SETTINGS = ("method", "shots", "seed", "select", "prompts", "hyperparameters", "temperature")
"""What of a report may explain a difference."""


@dataclass(frozen=True)
class Compared:
    """One of the runs.

    Attributes:
        run: its folder.
        report: what `adapters fit` saved.
        scores: on the test split, computed anew.
        less_first: its accuracy less that of the first run on the same rows; None for the first.
    """

    run: str
    report: Report
    scores: Scores
    less_first: Difference | None

    @property
    def name(self) -> str:
        """The run's name."""
        return Path(self.run).name


@dataclass(frozen=True)
class Comparison:
    """Runs on the same test rows, in the order given.

    Attributes:
        runs: at least two.
        settings: of what differs between them, its name and each run's value.
        labels: the file of mended labels that they were scored on, and what that changes; None: the data set's own.
    """

    runs: tuple[Compared, ...]
    settings: dict[str, list[Any]]
    labels: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON-able values."""
        runs = [
            {
                "run": each.run,
                "method": each.report.method,
                "scores": each.scores.to_json(),
                "less_first": each.less_first and each.less_first.to_json(),
            }
            for each in self.runs
        ]
        return {"runs": runs, "settings": self.settings, "labels": self.labels}


def compare(
    runs: Sequence[str | Path],
    *,
    cache: Cache | None = None,
    labels: str | Path | None = None,
    root: str | None = None,
    device: str = "auto",
) -> Comparison:
    """Score saved runs again on the test split of their cache, and compare them with the first.

    Args:
        runs: folders of runs, or names, at least two; all fitted on one cache, or on joined caches of its images.
        cache: an opened cache; None opens the one that the first run was fitted on.
        labels: a file of mended labels to score all on; None: those that they were fitted with.
        root: where runs are looked for.
        device: where heads compute.

    Raises:
        RunError: fewer than two runs, no such run, or runs of different caches or labels.
        CacheError: the runs' cache is gone.
    """
    if len(runs) < 2:
        raise RunError("one run given; expected two or more: type adapters compare RUN RUN")
    saved = [find_run(run, root=root) for run in runs]
    if twice := [each.name for i, each in enumerate(saved) if each.path in [other.path for other in saved[:i]]]:
        raise RunError(f"{twice[0]} is given twice: give each run once")
    reports = [each.require_report() for each in saved]
    cache = open_place(reports[0].cache) if cache is None else cache
    given = labels is not None or cache.mended is not None
    if not given and len({labels_digest(report) for report in reports}) > 1:
        raise RunError("the runs were fitted with different labels: type --labels FILE with those to score all on")
    cache = with_labels(cache, reports[0], labels)
    found: list[Compared] = []
    first: tuple[np.ndarray, SplitRows] | None = None
    for each, report in zip(saved, reports, strict=True):
        head = load(each.path, device=device)
        own = _cache_of(report, cache)
        check_cache(head.config, own, each.name)
        test = read_split(seen_by(type(head), own), "test")
        if first is not None and not np.array_equal(first[1].ids, test.ids):
            raise RunError(f"run {each.name} has other test images than {saved[0].name}: compare runs of one data set")
        (logits,) = logits_in_blocks((head,), test.blocks())
        right = logits.argmax(1) == test.labels
        less = None if first is None else difference(right, first[0])
        first = (right, test) if first is None else first
        found.append(Compared(str(each.path), report, score_logits(logits, test.labels), less))
    return Comparison(tuple(found), _differing(reports), cache.mended.told if cache.mended else None)


def _cache_of(report: Report, cache: Cache) -> Cache:
    """The cache that a run is scored on: where caches are joined its own, with the labels of the others."""
    if report.cache_digest == cache.digest or not (report.joined or isinstance(cache, JoinedCache)):
        return cache
    own = open_place(report.cache)
    return own if cache.mended is None else own.relabelled(cache.mended.file)


def _differing(reports: Sequence[Report]) -> dict[str, list[Any]]:
    """Settings that are not the same in all reports; hyper-parameters one by one."""
    contents = []
    for report in reports:
        content = {name: getattr(report, name) for name in SETTINGS if name != "hyperparameters"}
        contents.append({**content, **report.hyperparameters})
    names = dict.fromkeys(name for content in contents for name in content)
    values = {name: [content.get(name) for content in contents] for name in names}
    return {name: of_runs for name, of_runs in values.items() if any(value != of_runs[0] for value in of_runs)}
