"""Which labels a saved run is scored on: those given, else those that it was fitted with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adapters.errors import RunError
from adapters.runs.report import Report
from featcache.cache.labels_file import read_labels_file
from featcache.errors import CacheError

if TYPE_CHECKING:
    from featcache.cache.reading import Cache


def with_labels(cache: Cache, report: Report, labels: str | Path | None) -> Cache:
    """The run's cache with the labels to score on.

    Args:
        cache: that the run was fitted on.
        report: of the run.
        labels: a file of mended labels; None: those that the cache was given, else the file that the run names.

    Raises:
        RunError: that file is gone, or says something else than when the run was fitted.
        CacheError: the file that was given does not fit the cache.
    """
    if labels is not None:
        return cache.relabelled(labels)
    if report.labels is None or cache.mended is not None:
        return cache
    place, fitted_with = report.labels["file"], report.labels["digest"]
    remedy = f"put it back as it was, or type --labels FILE with the labels to score on, such as --labels {place}"
    name = Path(report.run).name
    try:
        file = read_labels_file(place)
    except CacheError as error:
        raise RunError(f"run {name} was fitted with labels that cannot be read now ({error}): {remedy}") from error
    if file.digest != fitted_with:
        raise RunError(
            f"run {name} was fitted with other labels (digest {fitted_with[:12]}) than {place} holds now "
            f"({file.digest[:12]}): {remedy}"
        )
    return cache.relabelled(file)


def labels_digest(report: Report) -> str | None:
    """The digest of the mended labels that a run was fitted with; None: it was fitted with the data set's own."""
    return None if report.labels is None else str(report.labels["digest"])
