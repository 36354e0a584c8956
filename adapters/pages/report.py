"""A report of whatever a name means: a saved run, a bench, a search, or an audit that was kept.

RUN      its name or folder
BENCH    its folder, which --out named, or that folder's name under ROOT/bench
SEARCH   likewise, under ROOT/search
AUDIT    the file that `adapters audit --json > FILE` wrote
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.auditing.page import audit_html
from adapters.bench.page import bench_html
from adapters.bench.store import RESULTS, SHOWN
from adapters.errors import RunError
from adapters.html.document import check_html_file, write_html
from adapters.html.pictures import Pictures, pictures_at
from adapters.pages.run import run_page
from adapters.runs.catalogue import find_run
from adapters.runs.folder import METRICS, slug
from adapters.search.results import NAME
from adapters.search.shown.page import search_html
from featcache.errors import in_a_line
from featcache.places.folder import is_url
from featcache.places.home import local_home
from featcache.records import Malformed, parse_json

EXPECTED = (
    "a run is given by its name (adapters runs lists them), a bench or a search by its folder, an audit by the file "
    "that adapters audit --json > FILE wrote"
)
SEARCH = f"{NAME}.json"


@dataclass(frozen=True)
class Written:
    """A report on disk.

    Attributes:
        file: where it is.
        of: what it is of: run, bench, search or audit.
        bytes: how large it is.
        pictures: thumbnails on it; `missing` images could not be read.
        told: what must be said of these; may be empty.
    """

    file: Path
    of: str
    bytes: int
    pictures: int
    missing: int
    told: str

    def to_json(self) -> dict[str, Any]:
        """What `adapters report --json` prints."""
        sizes = {"bytes": self.bytes, "pictures": self.pictures, "missing": self.missing}
        return {"report": str(self.file), "of": self.of, **sizes, "note": self.told}


def report(
    what: str | Path, *, out: str | Path | None = None, root: str | None = None, device: str = "auto"
) -> Written:
    """Write a report: one page that asks for nothing, with thumbnails, tables and charts.

    Args:
        what: a run, a bench, a search or an audit, named as above.
        out: the .html file; None: in this folder, under the name of what it is of.
        root: where runs, benches and searches are looked for.
        device: where a run's head computes.

    Raises:
        AdapterError: nothing has that name, it is damaged, or the file cannot be written.
        CacheError: the cache of a run is gone.
    """
    if out is not None:
        check_html_file(Path(out), "--out")  # before the work, not after it
    folder = _folder(what, root)
    file = Path(what).expanduser()
    if folder is not None:
        of = "bench" if (folder / SHOWN).is_file() else "search"
        name, content = folder.name, _content(folder / (SHOWN if of == "bench" else SEARCH))
    elif not is_url(str(what)) and file.is_file():
        name, content = file.stem, _content(file)
        of = _kind(content, file)
    else:
        return _of_run(what, out, root, device)
    target = Path(out) if out is not None else Path(f"{slug(name)}.html")
    check_html_file(target, "--out")
    try:
        page, pictures = _page(of, content)
    except Malformed as error:
        raise RunError(f"{what} is damaged ({error}): write it again, with adapters {of}") from error
    return _written(target, of, page, pictures)


def _written(file: Path, of: str, page: str, pictures: Pictures) -> Written:
    write_html(file, page, "--out")
    place = file.expanduser().resolve()
    return Written(place, of, place.stat().st_size, len(pictures.made), pictures.missing, pictures.told)


def _of_run(what: str | Path, out: str | Path | None, root: str | None, device: str) -> Written:
    try:
        saved = find_run(what, root=root)
    except RunError as error:
        raise RunError(f"{error}; {EXPECTED}") from error
    target = Path(out) if out is not None else Path(f"{slug(saved.name)}.html")
    check_html_file(target, "--out")
    page, pictures = run_page(saved.path, root=root, device=device)
    return _written(target, "run", page, pictures)


def _page(of: str, content: Mapping[str, Any]) -> tuple[str, Pictures]:
    """The page of what was kept; the pictures of an audit come from the cache that it names."""
    if of != "audit":
        return (bench_html if of == "bench" else search_html)(content), Pictures(None)
    pictures = pictures_at(str(content.get("cache_path")))
    return audit_html(content, pictures), pictures


def _folder(what: str | Path, root: str | None) -> Path | None:
    """The folder of a bench or a search of that name.

    Raises:
        RunError: a folder was named that holds none, or an older bench.
    """
    if is_url(str(what)):
        return None
    given = Path(what).expanduser()
    home = local_home(root)
    for folder in (given, home / "bench" / given, home / "search" / given):
        if (folder / SHOWN).is_file() or (folder / SEARCH).is_file():
            return folder.resolve()
        if (folder / f"{RESULTS}.json").is_file():
            again = "type the same adapters bench command again: it computes nothing anew"
            raise RunError(f"{folder} holds a bench of an older version, which kept no {SHOWN}; {again}")
    if given.is_dir() and not (given / METRICS).is_file():
        raise RunError(f"{what} is a folder with neither {METRICS}, {SHOWN} nor {SEARCH} in it; {EXPECTED}")
    return None


def _content(file: Path) -> dict[str, Any]:
    try:
        content = parse_json(file.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise RunError(f"cannot read {file} ({error.strerror or error}); {EXPECTED}") from error
    except ValueError as error:  # Malformed, and bytes that are no text
        raise RunError(f"{file} is no result of adapters ({in_a_line(error)}); {EXPECTED}") from error
    if not isinstance(content, dict):
        raise RunError(f"{file} is no result of adapters (it holds no object); {EXPECTED}")
    return content


def _kind(content: Mapping[str, Any], file: Path) -> str:
    """What a file with one object is of, by a key that no other has."""
    for key, of in (("mislabelled", "audit"), ("tables", "bench"), ("summary", "search")):
        if key in content:
            return of
    raise RunError(f"{file} is no result of adapters audit, bench or search; {EXPECTED}")
