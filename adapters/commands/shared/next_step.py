"""What to type after a fit, by what was found."""

from __future__ import annotations

import shlex
from typing import Any, NamedTuple

from adapters.joining.places import placed_at, typed
from adapters.methods import DEFAULT
from adapters.runs.report import Report
from adapters.tasks.all_shots import ALL
from featcache.places.again import again

SEEDS = "1,2,3"


class NextStep(NamedTuple):
    """A command, and why it is worth typing."""

    command: str
    why: str

    def __str__(self) -> str:
        return f"{self.command}   ({self.why})"


def next_step(report: Report, root: str | None) -> NextStep:
    """The most useful command under the root that was given."""
    assert report.scores is not None
    baseline, tested = report.scores["zero_shot"], report.scores["test"]
    assert baseline is not None
    assert tested is not None
    where = _caches(report)
    where += f" --labels {shlex.quote(report.labels['file'])}" if report.labels else ""
    if baseline["balanced_accuracy_interval"][0] <= 1 / report.classes and report.method != DEFAULT:
        why = "zero-shot is at chance: other words for the classes cost only text"
        placed = placed_at(report.cache)
        name = placed[0].name if placed else report.cache_name
        return NextStep(f"featcache text {shlex.quote(name)} --templates FILE{again(root)}", why)
    if report.method not in (DEFAULT, "zero-shot") and tested["accuracy"] < baseline["accuracy"]:
        command = f"adapters fit {DEFAULT} --shots {report.shots} --seed {report.seed} {where}{again(root)}"
        return NextStep(command, "it hardly falls below zero-shot")
    if report.method == DEFAULT:
        command = f"adapters bench --methods {DEFAULT},zs-lp,tip-f {_draws(report)} {where}"
        return NextStep(f"{command}{again(root)}", "beside single methods, over seeds")
    if report.shots == ALL:
        command = f"adapters bench --methods {DEFAULT},{report.method} {_draws(report)} {where}"
        return NextStep(f"{command}{again(root)}", "beside a mixture of heads")
    return NextStep(f"adapters fit {report.method} {_asked(report)}{again(root)}", "one seed says little")


def _caches(report: Report) -> str:
    return typed(report.cache, report.cache_name, auto=bool(report.joined and report.joined["auto"]))


def _draws(report: Report) -> str:
    return f"--shots {report.shots}" + ("" if report.shots == ALL else f" --seeds {SEEDS}")


def _asked(report: Report) -> str:
    """The options that the run was asked for, with several seeds."""
    asked: dict[str, Any] = report.asked or {}
    words = [
        "--shots",
        str(report.shots),
        "--seeds",
        SEEDS,
        *shlex.split(_caches(report)),
        "--prompts",
        report.prompts,
    ]
    words += ["--labels", report.labels["file"]] if report.labels else []
    words += ["--select", asked["select"]] if asked.get("select") else []
    words += [f"--{name.replace('_', '-')}" for name in ("calibrate", "allow_fewer", "refit") if asked.get(name)]
    for name in ("reject", "coverage"):
        words += [f"--{name}", f"{asked[name]:g}"] if asked.get(name) else []
    for name, value in (asked.get("options") or {}).items():
        words += [f"--{name.replace('_', '-')}", str(value).lower() if isinstance(value, bool | None) else str(value)]
    return shlex.join(words)
