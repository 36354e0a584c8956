"""A saved run with what it takes to use it: its head, and the very cache that it was fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.answers.answers import Answers
from adapters.answers.files import read_answers
from adapters.errors import RunError
from adapters.head import Head
from adapters.joining.opening import open_place
from adapters.methods import load
from adapters.runs.catalogue import find_run
from adapters.runs.folder import ANSWERS, INDICES
from adapters.runs.its_labels import with_labels
from adapters.runs.report import Report
from adapters.tasks.seen import seen_by
from adapters.tasks.split_rows import SplitRows, read_rows
from featcache.records import parse_json

if TYPE_CHECKING:
    from featcache.cache.reading import Cache


@dataclass(frozen=True, eq=False)
class OpenedRun:
    """A saved run.

    Attributes:
        folder: of the run.
        report: what `adapters fit` found.
        head: the fitted head.
        answers: what it answers beside one class.
        cache: that it was fitted on, with the labels to score on.
    """

    folder: Path
    report: Report
    head: Head
    answers: Answers
    cache: Cache

    @property
    def class_names(self) -> tuple[str, ...]:
        """The C names of its classes."""
        return tuple(self.head.config["class_names"])


def open_run(
    run: str | Path,
    *,
    cache: Cache | None = None,
    labels: str | Path | None = None,
    root: str | None = None,
    device: str = "auto",
) -> OpenedRun:
    """Open a saved run; the arguments are those of `adapters.runs.evaluate.evaluate`.

    Raises:
        RunError: no such run, it is broken, or it does not belong to this cache.
        CacheError: the run's cache is gone.
    """
    saved = find_run(run, root=root)
    report = saved.require_report()
    head = load(saved.path, device=device)
    answers = read_answers(saved.path / ANSWERS, head.config)
    if cache is None:
        cache = open_place(report.cache)
    check_cache(head.config, cache, saved.name)
    cache = seen_by(type(head), with_labels(cache, report, labels))
    return OpenedRun(saved.path, report, head, answers, cache)


def shots_of(run: Path, cache: Cache, *, with_views: bool = False) -> SplitRows:
    """The shots of a run, from the very cache that it was fitted on.

    Raises:
        RunError: the run does not say which rows they are, or its rows are other images than it names.
    """
    path = run / INDICES
    try:
        named = parse_json(path.read_bytes())["train"]
        shots = read_rows(cache["train"], np.asarray(named["indices"], dtype=np.int64), with_views=with_views)
        if shots.ids.tolist() != [image["impath"] for image in named["data"]]:
            raise ValueError("other images")
        return shots
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise RunError(f"{path} does not name rows of {cache.name}: the file is damaged, fit again") from error


def check_cache(config: Mapping[str, Any], cache: Cache, run_name: str) -> None:
    """Refuse a cache that the run was not fitted on.

    Raises:
        RunError: names what differs.
    """
    expected = config["cache"]
    if cache.digest == expected["digest"]:
        return
    pairs = [
        ("data set", config["dataset"], cache.dataset.get("name")),
        ("class names", list(config["class_names"]), list(cache.class_names)),
        *((f"encoder {key}", value, cache.encoder.get(key)) for key, value in config["encoder"].items()),
        ("digest", expected["digest"], cache.digest),
    ]
    what, wanted, given = next(pair for pair in pairs if pair[1] != pair[2])
    raise RunError(
        f"run {run_name} was fitted on cache {expected['name']}, not on {cache.name}: {what} is "
        f"{_short(given)}, expected {_short(wanted)}; leave --cache out, or fit on this cache with adapters fit"
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
