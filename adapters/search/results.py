"""What a search found: the chosen settings, the whole grid, and their summary."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from adapters.joining.places import typed
from adapters.metrics import paired_interval
from adapters.search.facts import Chosen, Facts
from adapters.search.grid import Grid, Setting
from adapters.search.shown.notes import notes, title
from adapters.search.shown.summary import Summary, summary_page
from adapters.tasks.all_shots import ALL
from featcache.show.page import Page, Styled

NAME = "search"
"""What the files are called, but for their suffixes."""


@dataclass(frozen=True, eq=False)
class Results:
    """A search.

    Attributes:
        folder: where `search.parquet`, `.csv` and `.json` are.
        picture: the file with the picture.
        facts: what was asked for.
        grid: the same, as it was tried.
        chosen: what was taken, by shots and then seeds.
        trainings: how many there were to choose from.
        seconds: of loading, of the search, and of fitting and scoring what was chosen.
        seconds_of_shots: how those of the search divide among numbers of shots.
        task_notes: what must be said about the draws.
    """

    folder: Path
    picture: Path
    facts: Facts
    grid: Grid
    chosen: tuple[Chosen, ...]
    trainings: int
    seconds: Mapping[str, float]
    seconds_of_shots: Mapping[int, float]
    task_notes: tuple[str, ...]

    @cached_property
    def lines(self) -> list[Summary]:
        """The summary, one line a number of shots."""
        return [self._summary(shots) for shots in self.facts.shots]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The whole grid, one row a draw and setting; where nothing could be chosen, the one setting that was used."""
        return [row for chosen in self.chosen for row in self._rows_of(chosen)]

    @property
    def best(self) -> list[dict[str, Any]]:
        """What was chosen for every draw, as JSON-able values."""
        return [
            {
                "shots": chosen.shots,
                "seed": chosen.seed,
                "hyperparameters": chosen.setting,
                "alpha_interval": chosen.interval,
                "selection": {"accuracy": chosen.accuracy, "rows": chosen.rows},
                "test": {name: _accuracy(chosen, name) for name in ("zero_shot", "default", "chosen")},
            }
            for chosen in self.chosen
        ]

    @property
    def title(self) -> str:
        """Method, cache, regime and seeds in one line."""
        return title(self.facts)

    @cached_property
    def notes(self) -> list[str]:
        """What must be read with the numbers."""
        return [*notes(self.facts, self.grid, self.chosen), *self.task_notes]

    @property
    def next_command(self) -> str:
        """What to type to fit and save the head that was chosen for most shots and the first seed.

        Empty where nothing was chosen, and after a choice on test rows, which `adapters fit` could no longer tell from
        an honest one.
        """
        if self.facts.regime.warning:
            return ""
        of_most = [each for each in self.chosen if each.number is not None and each.shots == max(self.facts.shots)]
        if not of_most:
            return ""
        one = of_most[0]
        options = " ".join(f"--{name.replace('_', '-')} {str(value).lower()}" for name, value in one.setting.items())
        shots = ALL if self.facts.every else one.shots
        draw = f"--shots {shots} --seed {one.seed} --select none {typed(self.facts.cache, self.facts.cache_name)}"
        draw += f" --labels {shlex.quote(self.facts.labels)}" if self.facts.labels else ""
        return f"adapters fit {self.facts.method} {draw} {options}"

    def to_json(self) -> dict[str, Any]:
        """What `adapters search --json` prints; accuracies are fractions."""
        return {
            **asdict(self.facts),
            "title": self.title,
            "alpha": "exact" if self.grid.alpha_range else "grid" if "alpha" in self.grid.varied else None,
            "best": self.best,
            "summary": [asdict(line) for line in self.lines],
            "settings": len(self.grid.settings),
            "trainings": self.trainings,
            "seconds": {name: round(value, 6) for name, value in self.seconds.items()},
            "notes": self.notes,
            "out": str(self.folder),
            "files": {
                **{kind: str(self.folder / f"{NAME}.{kind}") for kind in ("parquet", "csv", "json")},
                "picture": str(self.picture),
            },
        }

    def table(self) -> Page:
        """The summary for a terminal, which `rich` can print too."""
        heading = Styled(self.title, "bold", shouts=self.facts.regime.shouted)
        return summary_page(heading, self.lines, self.grid.varied, self.notes)

    def _summary(self, shots: int) -> Summary:
        of_shots = [chosen for chosen in self.chosen if chosen.shots == shots]
        default, chosen = ([_accuracy(each, name) for each in of_shots] for name in ("default", "chosen"))
        names = ("zero_shot", "default", "chosen")
        right = {name: np.stack([getattr(each.final, name) for each in of_shots]).astype(np.int8) for name in names}
        selection = [each.accuracy for each in of_shots if each.accuracy is not None]
        picked = [each for each in of_shots if each.number is not None]
        return Summary(
            shots=shots,
            zero_shot=_accuracy(of_shots[0], "zero_shot"),
            default=fmean(default),
            default_std=stdev(default) if len(default) > 1 else None,
            chosen=fmean(chosen),
            chosen_std=stdev(chosen) if len(chosen) > 1 else None,
            less_zero_shot=paired_interval(right["chosen"] - right["zero_shot"]),
            less_default=paired_interval(right["chosen"] - right["default"]),
            selection=fmean(selection) if selection else None,
            settings={name: [each.setting[name] for each in picked] for name in self.grid.varied} if picked else {},
            seconds=round(self.seconds_of_shots.get(shots, 0.0), 6),
        )

    def _rows_of(self, chosen: Chosen) -> list[dict[str, Any]]:
        facts = self.facts
        defaults = _defaults(self.grid)
        tried: dict[int | None, Setting] = {number: self.grid.settings[number] for number in chosen.outcomes}
        found = []
        for number, setting in (tried or {None: chosen.setting}).items():
            outcome = None if number is None else chosen.outcomes[number]
            exact = None if outcome is None else outcome.alphas
            taken = number == chosen.number
            row = {"method": facts.method, "shots": chosen.shots, "seed": chosen.seed, **defaults, **setting}
            if self.grid.alpha_range:
                row |= {} if exact is None else {"alpha": exact.alpha}
                row |= {"alpha_lo": exact and exact.lo, "alpha_hi": exact and exact.hi}
            found.append(
                {
                    **row,
                    "selection_accuracy": outcome and outcome.correct / chosen.rows,
                    "selection_rows": chosen.rows,
                    "chosen": taken,
                    "stopped_at": outcome and outcome.stopped_at,
                    "test_accuracy": _accuracy(chosen, "chosen") if taken else None,
                    "select": facts.select,
                    "cache": facts.cache_name,
                    "cache_digest": facts.cache_digest,
                    "labels_digest": facts.labels_digest,
                    "prompts": facts.prompts,
                    "version": facts.version,
                }
            )
        return found


def _accuracy(chosen: Chosen, name: str) -> float:
    return float(getattr(chosen.final, name).mean())


def _defaults(grid: Grid) -> dict[str, Any]:
    """The method's own value of every option of the grid, in its order."""
    known = grid.head_class().get_params()
    names = [*grid.options, *(name for name in grid.settings[0] if name not in grid.options)]
    return {name: known[name] for name in names}
