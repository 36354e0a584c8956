"""What a search keeps on disk: the whole grid as Parquet and CSV, what was chosen as JSON.

    DIR/search.parquet   one row a draw and setting: options, selection accuracy, whether it was chosen, test accuracy
    DIR/search.csv       the same as text
    DIR/search.json      what was chosen and the summary
    DIR/outcomes.json    while it runs: how the settings did that were trained so far

Only chosen rows have a test accuracy. The three are moved into place when all are written, and the last vouches for the
others (`adapters.show.tidy`).
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from adapters.errors import RunError
from adapters.runs.folder import slug
from adapters.search.facts import Facts
from adapters.search.results import NAME, Results
from adapters.search.trials import Outcome, Outcomes
from adapters.selection.alpha_choice import Widest
from adapters.show.tidy import tidy_files
from featcache.places.home import local_home
from featcache.places.turns import held
from featcache.places.whole import make_folder, remove_partial_files, write_all, write_whole
from featcache.records import Malformed, digest, parse_json, sealed, unsealed

OUTCOMES = "outcomes.json"
"""What an interrupted search found; removed when it is done."""
SECONDS_BETWEEN = 2.0
"""Of keeping that."""
WHERE_SAID = ("labels", "labels_digest", "joined")
"""Facts that a folder's name depends on only where there are any."""
_TYPES = dict.fromkeys(("alpha_lo", "alpha_hi", "selection_accuracy", "test_accuracy"), "float")
_TYPES["stopped_at"] = "int"


def folder_for(facts: Facts, out: Path | str | None, root: str | None) -> Path:
    """The folder for the results, made if need be; the same one for the same question.

    Raises:
        RunError: it cannot be made.
    """
    said = {name: value for name, value in asdict(facts).items() if name not in WHERE_SAID or value}
    asked = json.dumps(said, sort_keys=True, default=str)
    name = slug(f"{facts.cache_name}-{facts.method}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}")
    return made(local_home(root) / "search" / name if out is None else Path(out).expanduser(), "--out")


def made(folder: Path, option: str) -> Path:
    """The absolute path of a folder that is there from now on.

    Raises:
        RunError: it cannot be made; the message names the option that gives another.
    """
    try:
        make_folder(folder)
    except OSError as error:
        raise RunError(
            f"cannot write {folder} ({error.strerror or error}): give another folder with {option}"
        ) from error
    return folder.resolve()


class Kept:
    """Outcomes on disk while a search runs, so that the same search goes on where it was stopped.

    Args:
        folder: of the search.
        question: what the outcomes answer, all that could change one; those of another question are not used.
    """

    def __init__(self, folder: Path, question: object) -> None:
        self._file, self._question = folder / OUTCOMES, digest(json.loads(json.dumps(question, default=str)))
        self.found: Outcomes = self._read()
        self._written = time.monotonic()

    def _read(self) -> Outcomes:
        try:
            content = unsealed(parse_json(self._file.read_bytes()))
        except (OSError, Malformed):
            return {}
        if content["question"] != self._question:
            return {}
        return {
            (i, j): Outcome(correct, alphas and Widest(*alphas), *stopped)
            for i, j, correct, alphas, *stopped in content["outcomes"]
        }

    def keep(self, outcomes: Outcomes, *, now: bool = False) -> None:
        """Write those that ended, unless that was done just before; a disk that is full stops no search."""
        if not now and time.monotonic() - self._written < SECONDS_BETWEEN:
            return
        self._written = time.monotonic()
        rows = [[*which, *outcome] for which, outcome in outcomes.items() if outcome.ended]
        content = sealed({"question": self._question, "outcomes": json.loads(json.dumps(rows))})
        with suppress(OSError):
            write_whole(self._file, json.dumps(content).encode())

    def forget(self) -> None:
        """Remove them: the search is done."""
        self._file.unlink(missing_ok=True)


def write(results: Results) -> None:
    """Write the three files, of several searches at once those of one after the other's.

    Raises:
        RunError: they cannot be written.
    """
    rows = results.rows
    files = tidy_files(NAME, rows, list(rows[0]), _TYPES, results.to_json())
    try:
        with held(results.folder):
            remove_partial_files(results.folder)
            write_all({results.folder / name: content for name, content in files.items()})
    except OSError as error:
        raise RunError(
            f"cannot write {results.folder} ({error.strerror or error}): give another folder with --out"
        ) from error
