"""Runs behind a URL: they are kept there, and this machine has a copy of what it wrote or read.

A run is its files at `<root>/runs/<data set>/<model>/<run>/`. Its report is written last and makes it count. Beside a
copy, a mark holds the digest of the report that the store has too. A copy whose report has no such mark may be the only
one: it is never removed or replaced, and is pushed at the next chance.
"""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from adapters.runs.folder import EVERY_RUN_FILES, METRICS, RUN_FILES
from featcache.errors import CacheError
from featcache.places.folder import Folder, is_url, join
from featcache.places.home import resolve_root, runs_folder
from featcache.places.together import together
from featcache.places.whole import write_whole


def remote_runs(root: str | None) -> Folder | None:
    """The folder of all runs, if it is behind a URL."""
    resolved = resolve_root(root)
    return Folder(join(resolved, "runs")) if is_url(resolved) else None


def kept_at(run: str | Path, root: str | None) -> str:
    """Where a run is kept, by the folder that is or copies it here: that folder, or its URL."""
    resolved = resolve_root(root)
    if not is_url(resolved) or not Path(run).is_relative_to(runs_folder(root)):
        return str(run)
    return join(resolved, "runs", *Path(run).relative_to(runs_folder(root)).parts)


def push(root: str | None, *, wait: bool = True) -> None:
    """Keep the runs under `runs_folder` that the store does not have yet.

    Args:
        root: As `featcache.places.home.resolve_root`.
        wait: Until another push from this machine has ended; else leave all to it.

    Raises:
        CacheError: The store cannot be reached; the copies stay.
    """
    if (there := remote_runs(root)) is None:
        return
    runs_folder(root).mkdir(parents=True, exist_ok=True)
    with suppress(Timeout), FileLock(runs_folder(root) / ".push.lock", timeout=-1 if wait else 0):
        for report in sorted(runs_folder(root).glob(f"*/*/*/{METRICS}")):
            with suppress(FileNotFoundError):  # a fit is replacing it, which pushes it afterwards
                if _is_the_only_one(report.parent):
                    _push(report.parent, there, root)


def _push(copy: Path, there: Folder, root: str | None) -> None:
    name, report = _name(copy, root), (copy / METRICS).read_bytes()
    here = {entry.name for entry in copy.iterdir()}
    if not here >= EVERY_RUN_FILES:
        return
    there.remove(f"{name}/{METRICS}")
    for file in sorted((RUN_FILES & here) - {METRICS}):
        there.write(f"{name}/{file}", (copy / file).read_bytes())
    there.write(f"{name}/{METRICS}", report)
    _mark(copy, report)


def pull_reports(root: str | None) -> None:
    """Bring the copies' reports up to date, remove copies of runs that are gone, and push what was not pushed.

    A push that fails once more hides no run: the copy is there, and stays.

    Raises:
        CacheError: The store cannot be reached.
    """
    if (there := remote_runs(root)) is None:
        return
    names = there.files()
    reports = [name for name in names if name.endswith(f"/{METRICS}")]
    for name, report in zip(reports, together(lambda name: _read(there, name), reports), strict=True):
        copy = runs_folder(root) / Path(name).parent
        if report is None or _is_the_only_one(copy) or (_is_kept(copy) and _is_marked(copy, report)):
            continue
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir(parents=True)
        _mark(copy, report)  # before the report: no copy of the store's passes for the only one
        write_whole(copy / METRICS, report)
    there_still = {runs_folder(root) / Path(name).parent for name in names}  # without a report while it is pushed anew
    for copy in [report.parent for report in runs_folder(root).glob(f"*/*/*/{METRICS}")]:
        if copy not in there_still and _is_kept(copy):
            shutil.rmtree(copy, ignore_errors=True)
            _mark_of(copy).unlink(missing_ok=True)
    with suppress(CacheError):
        push(root, wait=False)


def pull(copy: Path, root: str | None) -> None:
    """Fetch what is missing of a run under `runs_folder`; nothing happens to other folders, nor while it is pushed.

    Raises:
        CacheError: The store cannot be reached.
    """
    there = remote_runs(root)
    if there is None or not copy.is_relative_to(runs_folder(root)):
        return
    name = _name(copy, root)
    files = there.files(name)
    if f"{name}/{METRICS}" not in files:
        return
    missing = [file for file in files if not (runs_folder(root) / file).exists()]
    for file, content in zip(missing, together(there.read, missing), strict=True):
        if file == f"{name}/{METRICS}":
            _mark(copy, content)
        write_whole(runs_folder(root) / file, content)


def remove_kept(copy: Path, root: str | None) -> None:
    """Remove a run under `runs_folder` from the store, its report first, and the mark of its copy; else nothing.

    Raises:
        CacheError: The store cannot be reached.
    """
    there = remote_runs(root)
    if there is not None and copy.is_relative_to(runs_folder(root)):
        name = _name(copy, root)
        there.remove(f"{name}/{METRICS}")
        there.remove_folder(name)
        _mark_of(copy).unlink(missing_ok=True)


def _read(there: Folder, name: str) -> bytes | None:
    """A report; None where another machine has begun to push the run anew."""
    with suppress(FileNotFoundError):
        return there.read(name)
    return None


def _name(copy: Path, root: str | None) -> str:
    return copy.relative_to(runs_folder(root)).as_posix()


def _mark_of(copy: Path) -> Path:
    return copy.with_name(f".{copy.name}.kept")


def _mark(copy: Path, report: bytes) -> None:
    """Say that the store has the run of this report."""
    write_whole(_mark_of(copy), _digest(report))


def _is_marked(copy: Path, report: bytes) -> bool:
    """Whether this report is the one that the store is known to have."""
    return _read_here(_mark_of(copy)) == _digest(report)


def _is_kept(copy: Path) -> bool:
    """Whether the store has the run that this copy holds."""
    report = _read_here(copy / METRICS)
    return report is not None and _is_marked(copy, report)


def _is_the_only_one(copy: Path) -> bool:
    """Whether the store may not have the run that this copy holds."""
    report = _read_here(copy / METRICS)
    return report is not None and not _is_marked(copy, report)


def _read_here(path: Path) -> bytes | None:
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def _digest(report: bytes) -> bytes:
    return hashlib.sha256(report).hexdigest().encode()
