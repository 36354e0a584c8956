"""A saved run as a repository on the Hugging Face hub: its own files, its card first, and nothing of this machine.

Weights are safetensors, all else is text: nothing in it is executed by who loads it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapters.exporting.places import OF_CONFIG, OF_METRICS, without_places
from adapters.head_files import read_head
from adapters.runs.catalogue import SavedRun, find_run
from adapters.runs.folder import CARD, CONFIG, METRICS, RUN_FILES, replaced_folder
from adapters.runs.model_card import on_the_hub
from featcache.places.hub import HEAD, upload_head
from featcache.records import parse_json, sealed, unsealed


@dataclass(frozen=True)
class Pushed:
    """What was sent, or would be.

    Attributes:
        run: name of the run.
        repository: `owner/name`.
        load: what `adapters.load` takes.
        page: its page on the hub; None where nothing was sent.
        folder: where its files were written instead; None where they were sent.
        files: their names.
    """

    run: str
    repository: str
    load: str
    page: str | None
    folder: str | None
    files: list[str]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return asdict(self)


def push(run: str | Path, repository: str, *, private: bool = False, root: str | None = None) -> Pushed:
    """Put a saved run on the Hugging Face hub, as the user that `hf auth login` or HF_TOKEN says.

    Args:
        run: folder of the run, or its name.
        repository: `owner/name`; made if need be.
        private: make it for its owner alone.
        root: where runs are looked for.

    Raises:
        RunError: no such run, or it is broken.
        DataError: nobody is logged in, the repository belongs to others, or the hub cannot be reached.
    """
    saved = find_run(run, root=root)
    files = _files(saved, repository)
    with tempfile.TemporaryDirectory() as folder:
        _write(files, Path(folder))
        page = upload_head(Path(folder), repository, private=private)
    return Pushed(saved.name, repository, HEAD + repository, page, None, sorted(files))


def write_repository(
    run: str | Path, repository: str, *, out: str | Path | None = None, root: str | None = None
) -> Pushed:
    """Write what `push` would send.

    Args:
        run: as there.
        repository: as there.
        out: the folder; an earlier one is replaced. None: the repository's name, in the current folder.
        root: as there.

    Raises:
        RunError: no such run, it is broken, or the folder holds something else.
    """
    saved = find_run(run, root=root)
    files = _files(saved, repository)
    folder = Path(repository.rsplit("/", 1)[-1] if out is None else out).expanduser().absolute()
    with replaced_folder(folder) as fresh:
        _write(files, fresh)
    return Pushed(saved.name, repository, HEAD + repository, None, str(folder), sorted(files))


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _files(saved: SavedRun, repository: str) -> dict[str, bytes]:
    """The files of a run that is whole, without the places of this machine."""
    saved.require_report()
    read_head(saved.path)  # what is damaged is not sent
    files = {name: (saved.path / name).read_bytes() for name in sorted(RUN_FILES) if (saved.path / name).exists()}
    places: dict[str, str] = {}
    for name, fields in ((CONFIG, OF_CONFIG), (METRICS, OF_METRICS)):
        record, cut = without_places(unsealed(parse_json(files[name])), fields)
        places |= cut
        files[name] = (json.dumps(sealed(record), indent=2, ensure_ascii=False) + "\n").encode()
    card = files[CARD].decode()
    for place, called in sorted(places.items(), key=lambda each: -len(each[0])):
        card = card.replace(place, called)
    files[CARD] = (card + on_the_hub(repository)).encode()
    return files
