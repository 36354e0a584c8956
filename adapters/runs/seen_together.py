"""A saved run on images together: what it learned from, and where its mistakes can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.runs.opened import OpenedRun, shots_of
from adapters.tasks.split_rows import SplitRows, read_split
from adapters.together.held_out import HeldOut, held_out

if TYPE_CHECKING:
    from adapters.together.adjusted import Adjusted
    from adapters.together.asked import Asked


@dataclass(frozen=True)
class _Shots:
    """What a head is fitted on again, without some of it; images without a label are not looked for again."""

    support: SplitRows
    text: Any
    unlabelled: None = None


def adjusted_of(opened: OpenedRun, asked: Asked, split: str | None = None) -> Adjusted:
    """What was asked for, of the head of a run.

    Args:
        opened: the run.
        asked: one of the three.
        split: that is to be answered, whose labels then tell no mistakes; None: new images.

    Raises:
        AdapterError: the head, or what was asked for, cannot give it.
        RunError: the run does not say what it learned from.
    """
    counts = opened.report.class_counts
    return asked.of(
        opened.head,
        opened.class_names,
        counts=None if counts is None else np.asarray(counts),
        held_out=lambda: mistakes_of(opened, split),
    )


def mistakes_of(opened: OpenedRun, split: str | None = None) -> HeldOut:
    """What is known of the mistakes of a run's head, without the split that is to be answered."""
    cache, report = opened.cache, opened.report
    free = "val" in cache.splits and split != "val" and not report.refit and cache["val"].labelled.any()
    shots = _Shots(shots_of(opened.folder, cache, with_views=True), cache.text_set(report.prompts))
    return held_out(opened.head, shots, read_split(cache, "val") if free else None)
