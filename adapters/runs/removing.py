"""Removing a saved run, here and where it is kept, so that a kill on the way leaves a run or nothing."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from adapters.errors import RunError
from adapters.runs.folder import CONFIG, METRICS, RUN_FILES
from adapters.runs.mirror import remove_kept
from featcache.places.turns import held
from featcache.places.whole import PARTIAL, settle


def remove_run(folder: Path, root: str | None) -> None:
    """Remove a run: its folder is moved aside in one step, and then deleted; behind a URL its report goes first.

    Raises:
        RunError: The folder holds something else than a run, or another process is saving a run beside it.
        CacheError: The store that keeps the run cannot be reached.
    """
    names = {entry.name for entry in folder.iterdir()}
    if others := sorted(names - RUN_FILES):
        raise RunError(
            f"{folder} holds {others[0]!r}, which is not of a run: give a run's folder, or remove it by hand"
        )
    if not names & {METRICS, CONFIG}:
        raise RunError(f"{folder} has neither {METRICS} nor {CONFIG}, so it is no run: give a run's folder")
    try:
        with held(folder.parent, wait=False):
            remove_kept(folder, root)
            aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}{PARTIAL}")
            folder.rename(aside)
            settle(folder.parent)
            shutil.rmtree(aside, ignore_errors=True)
    except BlockingIOError as error:
        raise RunError(f"another process is saving a run in {folder.parent}: wait for it, and type it again") from error
