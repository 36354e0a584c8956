"""What a source of people's own data is, and what it is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from featcache.datasets.dataset import Reader
from featcache.datasets.listing import Listing
from featcache.datasets.readers.folder import FolderReader, followed, is_folder
from featcache.datasets.readers.image_files import is_hidden, is_image
from featcache.datasets.readers.remote import shown
from featcache.datasets.readers.url_folder import UrlFolder
from featcache.datasets.sources.tables.columns import NOTHING_TOLD, TableOptions
from featcache.errors import DataError
from featcache.places.folder import is_url, local_path

OF_MANY = (".tar", ".parquet", ".arrow")
"""How files end that hold many images each; img2dataset writes a table of captions beside each tar."""
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Tables of files, not of images."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was typed after `--dataset`, with the options that may go with it.

    Attributes:
        dataset: A path, a URL, or what else a source recognises.
        seed: Of the splits that a source makes.
        split_file: One of CoOp's split files.
        class_depth: How many folders deep class folders lie.
        table: What is told of a table that lists images.
        kept: A folder on this machine for what is costly to find out again.
        download: Whether a data set that is elsewhere as a whole may be downloaded.
    """

    dataset: str
    seed: int = 0
    split_file: Path | None = None
    class_depth: int | None = None
    table: TableOptions = NOTHING_TOLD
    kept: Path
    download: bool = True

    @property
    def is_url(self) -> bool:
        """Whether it is behind a URL."""
        return is_url(self.dataset)

    @cached_property
    def path(self) -> Path:
        """It as an absolute path on this machine, whether it is there or not."""
        return local_path(self.dataset).resolve()

    @cached_property
    def where(self) -> str:
        """It as messages and records call it: an absolute path, or a URL without secrets."""
        return shown(self.dataset).rstrip("/") if self.is_url else str(self.path)

    @property
    def name(self) -> str:
        """What the data set is called: the file or folder, without its ending."""
        return Path(self.where).stem

    @property
    def file_name(self) -> str:
        """The file's name in its folder."""
        return Path(self.where).name

    @property
    def suffix(self) -> str:
        """The ending of the file's name, in small letters; empty for a folder, and where a URL ends in a slash."""
        if self.is_url:
            path = urlsplit(self.dataset).path
            return "" if path.endswith("/") else Path(path).suffix.lower()
        return "" if self.path.is_dir() else self.path.suffix.lower()

    @property
    def exists(self) -> bool:
        """Whether it is a file or folder on this machine; a URL counts as there."""
        return self.is_url or self.path.exists()

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder; of a URL: whether it ends as one."""
        return not self.suffix if self.is_url else self.path.is_dir()

    @cached_property
    def folder(self) -> FolderReader | UrlFolder:
        """The folder, or the one that the file lies in.

        Raises:
            DataError: A URL has a query, which would not be that of the files in the folder.
        """
        if self.is_url:
            if urlsplit(self.dataset).query:
                raise DataError(f"{self.where} is given with a query, which only a tar may have: leave it out")
            url = self.dataset.rstrip("/")
            return UrlFolder(url if self.is_folder else url.rpartition("/")[0])
        return FolderReader(self.path if self.is_folder else self.path.parent)

    @cached_property
    def holds(self) -> str:
        """How files of the folder end that hold many images; empty where images are files of their own.

        Images in folders go before: class folders may have an archive lying beside them.
        """
        if not self.is_folder:
            return ""
        if not self.is_url:
            return _held_in(str(self.path), ()) or ""
        paths = self.folder.paths()
        below = _held(path for path in paths if "/" in path)
        return (_held(paths) if below is None else below) or ""

    def take_no_split_file(self, instead: str) -> None:
        """Refuse a split file.

        Raises:
            DataError: There is one; the message says what to do instead.
        """
        if self.split_file is not None:
            raise DataError(f"a split file does not go with {Path(self.where).name}: {instead}")

    def take_no_class_depth(self) -> None:
        """Refuse a depth of class folders.

        Raises:
            DataError: There is one.
        """
        if self.class_depth is not None:
            raise DataError("--class-depth is for a folder or zip of class folders: leave it out")

    def take_no_table_options(self) -> None:
        """Refuse options of a table that lists images.

        Raises:
            DataError: There is one.
        """
        if flag := self.table.first_flag:
            raise DataError(f"{flag} is for a table that lists images, such as a CSV: give that, or leave it out")


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a source made of it.

    Attributes:
        listing: Splits of ids and labels.
        reader: Reads every id of the listing.
        name: What the data set is called.
        where: What to type to list the same again.
        images: Where the images are; None: there, too.
    """

    listing: Listing
    reader: Reader
    name: str
    where: str
    images: str | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """One kind of thing that may be typed after `--dataset`; `sources.py` says what it is.

    Attributes:
        recognises: Whether something is of this kind, which may not exist. Raises DataError where a URL cannot be read.
        open: Lists it. Raises DataError or OSError.
        takes_table_options: Whether `Asked.table` goes with it.
    """

    recognises: Callable[[Asked], bool]
    open: Callable[[Asked], Opened]
    takes_table_options: bool = False


def _held_in(folder: str, above: Sequence[str]) -> str | None:
    """The same of a folder on this machine, by the first folder below that says so; None where nothing does."""
    with os.scandir(folder) as entries:
        shown = [entry for entry in entries if not is_hidden(entry.name)]
    below = (_held_in(entry.path, followed(entry, above)) for entry in shown if is_folder(entry))
    return next((kind for kind in below if kind is not None), _held(entry.name for entry in shown))


def _held(paths: Iterable[str]) -> str | None:
    kinds = {"" if is_image(path) else Path(path).suffix.lower() for path in paths if Path(path).name not in METADATA}
    return next((kind for kind in (*OF_MANY, "") if kind in kinds), None)
