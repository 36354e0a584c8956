"""Runs behind a URL: they are kept there, and this machine has a copy of what it wrote or read.

A run is its files at `<root>/runs/<data set>/<model>/<run>/`. Its report is written last and makes it count.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from adapters.runs.folder import METRICS, RUN_FILES
from featcache.places.folder import Folder, is_url, join
from featcache.places.home import resolve_root, runs_folder
from featcache.places.together import together
from featcache.places.whole import write_whole


def remote_runs(root: str | None) -> Folder | None:
    """The folder of all runs, if it is behind a URL."""
    resolved = resolve_root(root)
    return Folder(join(resolved, "runs")) if is_url(resolved) else None


def push(copy: Path, root: str | None) -> None:
    """Keep a run that was saved under `runs_folder`.

    Raises:
        CacheError: The store cannot be reached; the copy stays.
    """
    if (there := remote_runs(root)) is None:
        return
    name = _name(copy, root)
    there.remove(f"{name}/{METRICS}")
    for file in sorted(RUN_FILES - {METRICS}):
        there.write(f"{name}/{file}", (copy / file).read_bytes())
    there.write(f"{name}/{METRICS}", (copy / METRICS).read_bytes())


def pull_reports(root: str | None) -> None:
    """Bring the copies' reports up to date, and remove copies of runs that are gone.

    Raises:
        CacheError: The store cannot be reached.
    """
    if (there := remote_runs(root)) is None:
        return
    reports = [name for name in there.files() if name.endswith(f"/{METRICS}")]
    for name, report in zip(reports, together(there.read, reports), strict=True):
        copy = runs_folder(root) / name
        if copy.exists() and copy.read_bytes() == report:
            continue
        shutil.rmtree(copy.parent, ignore_errors=True)
        copy.parent.mkdir(parents=True)
        write_whole(copy, report)
    kept = {runs_folder(root) / name for name in reports}
    for copy in runs_folder(root).glob(f"*/*/*/{METRICS}"):
        if copy not in kept:
            shutil.rmtree(copy.parent)


def pull(copy: Path, root: str | None) -> None:
    """Fetch what is missing of a run under `runs_folder`; nothing happens to other folders.

    Raises:
        CacheError: The store cannot be reached.
    """
    there = remote_runs(root)
    if there is None or not copy.is_relative_to(runs_folder(root)):
        return
    missing = [name for name in there.files(_name(copy, root)) if not (runs_folder(root) / name).exists()]
    for name, content in zip(missing, together(there.read, missing), strict=True):
        write_whole(runs_folder(root) / name, content)


def _name(copy: Path, root: str | None) -> str:
    return copy.relative_to(runs_folder(root)).as_posix()
