"""Saved runs: listing them, and finding one by path or by name."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

from adapters.errors import RunError
from adapters.runs.folder import METRICS, RUN_FILES
from adapters.runs.mirror import pull, pull_reports
from adapters.runs.report import Report
from adapters.selection.regimes import REGIMES
from featcache.places.folder import is_url
from featcache.places.hub import download_head, is_on_hub
from featcache.records import Malformed, parse_json, unsealed


@dataclass(frozen=True)
class SavedRun:
    """A run folder.

    Attributes:
        path: the folder.
        report: what `adapters fit` found; None if it cannot be read.
        problem: why not; None if it can.
        called: what it is called, where that is not its folder's own name.
        root: the root that its URL names; None: that of the command.
    """

    path: Path
    report: Report | None
    problem: str | None = None
    called: str = ""
    root: str | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return self.called or self.path.name

    def require_report(self) -> Report:
        """The report.

        Raises:
            RunError: it cannot be read.
        """
        if self.report is None:
            message = f"run {self.path} is broken or was saved from Python ({self.problem}): "
            raise RunError(message + "give a run that adapters fit saved")
        return self.report


def read_run(folder: Path) -> SavedRun:
    """Read a run folder; what is wrong with it is told in `problem`."""
    try:
        content = unsealed(parse_json((folder / METRICS).read_bytes()))
        report = Report.from_json({**content, "run": str(folder)})
        if report.select not in REGIMES:
            return SavedRun(folder, None, f"{METRICS} names a regime that this featcache has not: {report.select!r}")
        return SavedRun(folder, report)
    except FileNotFoundError:
        return SavedRun(folder, None, f"it has no {METRICS}")
    except OSError as error:
        return SavedRun(folder, None, f"{METRICS} cannot be read: {error.strerror}")
    except Malformed as error:
        return SavedRun(folder, None, f"{METRICS} is damaged: {error}")


def list_runs(root: str | None = None) -> list[SavedRun]:
    """Every run under the root, newest first; broken ones last, with the reason.

    Runs saved elsewhere with `--out` are not listed.
    """
    pull_reports(root)
    runs = [read_run(folder) for folder in _run_folders(root)]
    sound = [run for run in runs if run.report is not None]
    sound.sort(key=lambda run: run.require_report().created, reverse=True)
    return sound + [run for run in runs if run.report is None]


def _run_folders(root: str | None) -> list[Path]:
    """Folders at `runs/<dataset>/<model>/<run>`, sorted; hidden ones are runs still being written."""
    from featcache.places.home import runs_folder

    return sorted(
        path
        for path in runs_folder(root).glob("*/*/*")
        if path.is_dir() and not any(part.startswith(".") for part in path.parts[-3:])
    )


def find_run(run: str | Path, *, root: str | None = None) -> SavedRun:
    """The run of that path or URL, of that name (`clip-4shot-seed1-1a2b3c4d`), or whose name alone starts so.

    A name may be preceded by its data set and model: `eurosat/ViT-B-16-openai/clip-4shot-seed1`. One on the Hugging
    Face hub is `hf://owner/name`.

    Raises:
        RunError: there is none, or there are several; the message names the nearest.
        DataError: it cannot be had from the hub.
    """
    if is_on_hub(run):
        folder = download_head(str(run), sorted(RUN_FILES))
        return replace(read_run(folder), called=str(run).rsplit("/", 1)[-1].partition("@")[0])
    if is_url(str(run)):
        place, behind_a_root, name = str(run).partition("/runs/")
        if not behind_a_root:
            raise RunError(f"no run {run}: behind a URL a run is ROOT/runs/DATASET/MODEL/RUN")
        return replace(find_run(name, root=place), root=place)
    folder = Path(run).expanduser()
    if folder.is_dir():
        pull(folder, root)
        return read_run(folder)
    pull_reports(root)
    folders = _run_folders(root)
    names = {path: "/".join(path.parts[-3:]) for path in folders}
    wanted = str(run).strip("/")
    for matches in (_equal(names, wanted), _without_digest(names, wanted), _starting(names, wanted)):
        if len(matches) == 1:
            pull(matches[0], root)
            return read_run(matches[0])
        if matches:
            listed = ", ".join(names[path] for path in matches[:4]) + (", ..." if len(matches) > 4 else "")
            raise RunError(f"{len(matches)} runs are called {wanted}: type one of {listed}")
    if not folders:
        raise RunError(f"no run {wanted}: nothing is saved yet; fit a head with adapters fit, or give a run's folder")
    by_name = {path.name: path for path in folders}
    near = difflib.get_close_matches(wanted.rsplit("/", 1)[-1], by_name, n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    raise RunError(f"no run {wanted}: {hint}adapters runs lists what is saved")


def _equal(names: dict[Path, str], wanted: str) -> list[Path]:
    return [path for path, name in names.items() if wanted in (path.name, name)]


def _without_digest(names: dict[Path, str], wanted: str) -> list[Path]:
    return [path for path, name in names.items() if wanted in (path.name.rsplit("-", 1)[0], name.rsplit("-", 1)[0])]


def _starting(names: dict[Path, str], wanted: str) -> list[Path]:
    return [path for path, name in names.items() if path.name.startswith(wanted) or name.startswith(wanted)]
