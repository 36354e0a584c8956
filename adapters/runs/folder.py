"""Where a run is saved, under which name, and how its folder is put in place whole.

A run folder holds `config.json` and `model.safetensors` (the head), `README.md` (its model card), `metrics.json` (the
report) and `indices.json` (the few-shot set); `answers.safetensors` where it can answer more than a class.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapters.errors import RunError
from featcache.places.turns import exchange, held
from featcache.places.whole import PARTIAL, check_writable, make_folder, settle

CONFIG, WEIGHTS = "config.json", "model.safetensors"
CARD, METRICS, INDICES = "README.md", "metrics.json", "indices.json"
ANSWERS = "answers.safetensors"
EVERY_RUN_FILES = frozenset({CONFIG, WEIGHTS, CARD, METRICS, INDICES})
"""What each run has."""
RUN_FILES = EVERY_RUN_FILES | {ANSWERS}
"""What a run may have."""


def run_name(
    method: str, shots: int | str, seed: int, select: str, configuration: Mapping[str, Any], *, added: int = 0
) -> str:
    """A readable name that is the same for the same configuration and differs for another.

    Args:
        method: name of the method.
        shots: images a class, or all.
        seed: of the draw.
        select: selection regime; left out of the name when `none`.
        configuration: everything JSON-able that sets this run apart; the name ends in 8 digits of its SHA-256.
        added: classes that were added to another run.
    """
    digest = hashlib.sha256(json.dumps(configuration, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    regime = "" if select == "none" else f"-{select}"
    more = f"-plus{added}" if added else ""
    return f"{method}-{shots}shot-seed{seed}{regime}{more}-{digest[:8]}"


def slug(name: str) -> str:
    """`name` as one folder name: letters, digits, `.`, `_` and `-`; never hidden, never empty."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip(".-") or "unnamed"


def check_replaceable(folder: Path) -> None:
    """Refuse a target whose replacement would delete anything but an earlier run.

    Raises:
        RunError: the target is a file, or a folder with other files in it.
    """
    if not folder.exists():
        try:
            check_writable(folder / CONFIG)
        except OSError as error:
            raise RunError(f"cannot write {folder} ({error.strerror}): give another folder as --out") from error
        return
    if not folder.is_dir():
        raise RunError(f"--out {folder} is a file, expected a folder: give another --out")
    names = {entry.name for entry in folder.iterdir()}
    if others := sorted(names - RUN_FILES):
        raise RunError(f"--out {folder} holds {others[0]!r}, which is not of a run: give a new folder as --out")
    if names and METRICS not in names:
        raise RunError(f"--out {folder} holds files but no {METRICS}, so it is no run: give a new folder as --out")


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write to; on leaving without an error it takes the place of `folder`.

    An earlier run stays as it was until the new one is complete; after an error nothing has changed. Of several at once
    one after the other saves, and what one that was killed left half made is removed.

    Raises:
        RunError: the place cannot be written, or holds something that is not a run.
    """
    check_replaceable(folder)
    try:
        make_folder(folder.parent)
        with held(folder.parent):
            for leftover in folder.parent.glob(f".{folder.name}.*{PARTIAL}"):
                shutil.rmtree(leftover, ignore_errors=True)
            scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=PARTIAL, dir=folder.parent))
            try:
                fresh = scratch / "new"
                fresh.mkdir()
                yield fresh
                check_replaceable(folder)
                for path in (*fresh.iterdir(), fresh):
                    settle(path)
                _swap(fresh, folder, aside=scratch / "old")
                settle(folder.parent)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise RunError(f"cannot write {folder} ({error.strerror or error}): give another folder as --out") from error


def _swap(fresh: Path, folder: Path, *, aside: Path) -> None:
    """Put `fresh` where `folder` is or was, keeping `folder` if that fails."""
    replaces = folder.exists()
    if replaces and exchange(fresh, folder):
        return
    if replaces:
        os.rename(folder, aside)
    try:
        os.rename(fresh, folder)
    except OSError:
        if replaces:
            os.rename(aside, folder)
        raise


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
