"""One head of each of several seeds: the first is kept, the others say how much it varies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from adapters.errors import AdapterError
from adapters.fitting.fit import fit, fit_and_score
from adapters.runs.report import Report
from adapters.tasks.all_shots import ALL


@dataclass(frozen=True)
class OverSeeds:
    """Reports of one method on several draws; only the first has a saved head."""

    reports: tuple[Report, ...]

    def spread(self, name: str) -> tuple[float, float]:
        """Mean and sample standard deviation of an accuracy, `zero_shot` or `test`, fractions."""
        found = [float(report.accuracy[name] or 0.0) for report in self.reports]
        return fmean(found), stdev(found)

    def to_json(self) -> dict[str, Any]:
        """The first report, with `seeds`: the numbers of each, and `over_seeds`: mean and spread of the accuracies."""
        kept = ("seed", "accuracy", "scores", "difference", "hyperparameters", "remarks")
        contents = [report.to_json() for report in self.reports]
        spreads = {name: dict(zip(("mean", "std"), self.spread(name), strict=True)) for name in ("zero_shot", "test")}
        seeds = [{name: content[name] for name in kept} for content in contents]
        return {**contents[0], "seeds": seeds, "over_seeds": spreads}


def fit_over_seeds(method: str, seeds: Sequence[int], **options: Any) -> OverSeeds:
    """Fit and score a head for each seed, and save the first; `options` are those of `fitting.fit.fit`.

    Raises:
        AdapterError: several seeds where every image is taken and nothing is drawn.
    """
    if options.get("shots") == ALL and len(seeds) > 1:
        raise AdapterError(f"--shots all draws nothing that differs between {len(seeds)} seeds: give one as --seed")
    first = fit(method, seed=seeds[0], **options)
    others = {name: value for name, value in options.items() if name not in ("out", "root")}
    return OverSeeds((first, *(fit_and_score(method, seed=seed, **others).report for seed in seeds[1:])))
