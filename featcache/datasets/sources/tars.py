"""Tars of WebDataset's samples, as img2dataset writes them, or of class folders; on this machine or behind URLs.

A tar stands for a folder of its name: the ids of `train/000.tar` are `train/000/…`. Its split is the one that its path
names (`splits_in`). Labels that are numbers are named by `classes.txt` beside the tars, where there is such a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from featcache.datasets.labelled import Row, list_labelled, splits_in
from featcache.datasets.listing import Listing
from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.readers.remote import shown
from featcache.datasets.readers.tars import TarReader
from featcache.datasets.readers.url_folder import UrlFolder
from featcache.datasets.sources.class_folders import list_files, only_folder, with_outside
from featcache.datasets.sources.patterns import is_pattern, matching, root_of
from featcache.datasets.sources.source import Asked, Opened, Source
from featcache.datasets.sources.tar_index import TarIndex, index_tars
from featcache.errors import DataError
from featcache.places.folder import is_url
from featcache.records import parse_json

CLASS_LISTS = ("classes.txt", "classnames.txt", "classes.json")


class _Tar(NamedTuple):
    """A tar, and the folder that it stands for."""

    location: str
    folder: str
    inside: TarIndex

    def images(self) -> Iterator[str]:
        """Ids, in the tar's order."""
        start = f"{self.folder}/" if self.folder else ""
        return (start + name.decode("utf-8", "surrogateescape") for name in self.inside.names.tolist())

    def labels(self) -> Iterator[str]:
        """What stands beside each image."""
        return (label.decode(errors="surrogatepass") for label in self.inside.labels.tolist())


def recognises(asked: Asked) -> bool:
    """Files that end as tars do, also by a pattern, and folders of them."""
    named = asked.suffix == ".tar" or asked.where.endswith((".tar.gz", ".tgz"))
    return asked.holds == ".tar" or (named and (asked.exists or is_pattern(asked.dataset)))


def open_tars(asked: Asked) -> Opened:
    """Index the tars, and list their samples or class folders.

    Raises:
        DataError: A tar is compressed, damaged or not there, or as `list_labelled` and `list_class_folders`.
    """
    if asked.suffix != ".tar" and not asked.is_folder:
        raise DataError(f"{asked.where} is compressed and cannot be read in place: unpack it, and give folder or .tar")
    root, locations = _find(asked)
    indices = index_tars(locations, asked.kept / "tar-indices")
    name = Path(root).name if is_pattern(asked.dataset) else asked.name
    if len(locations) == 1 and not indices[0].samples:  # as a zip of class folders
        files = only_folder(_reader(asked, [_Tar(locations[0], "", indices[0])]))
        listing = _with_outside(list_files(files, asked), indices)
        return Opened(listing=listing, reader=files, name=name, where=asked.where)
    tars = [
        _Tar(location, shown(location)[len(shown(root)) :].strip("/").removesuffix(".tar"), index)
        for location, index in zip(locations, indices, strict=True)
    ]
    reader = _reader(asked, tars)
    if not any(index.samples for index in indices):
        listing = _with_outside(list_files(reader, asked), indices)
        return Opened(listing=listing, reader=reader, name=name, where=asked.where)
    asked.take_no_split_file("name tars as their split, such as train-000.tar and test-000.tar")
    asked.take_no_class_depth()
    listing = _list_samples(tars, UrlFolder(root) if is_url(root) else FolderReader(Path(root)), asked)
    return Opened(listing=_with_outside(listing, indices), reader=reader, name=name, where=asked.where)


def _with_outside(listing: Listing, indices: Sequence[TarIndex]) -> Listing:
    return with_outside(listing, sum(index.outside for index in indices), "tar")


def _find(asked: Asked) -> tuple[str, list[str]]:
    """The folder that ids begin below, and every tar."""
    if asked.is_folder:
        folder = asked.folder
        names = [path for path in folder.paths() if path.lower().endswith(".tar")]
        return folder.location("").rstrip("/"), [folder.location(name) for name in names]
    given = asked.dataset if asked.is_url else str(asked.path)
    tars = list(matching(given))
    if not tars or len(set(tars)) < len(tars):
        raise DataError(f"{asked.where} names {'a tar twice' if tars else 'no tar that is there'}: mend the pattern")
    missing = [tar for tar in tars if not is_url(tar) and not Path(tar).is_file()]
    if missing:
        raise DataError(f"{len(missing)} of {len(tars)} tars are not there, first {missing[0]}: mend the pattern")
    return root_of(given), tars


def _reader(asked: Asked, tars: Sequence[_Tar]) -> TarReader:
    members = [
        (image, number, start, size)
        for number, tar in enumerate(tars)
        for image, (start, size) in zip(tar.images(), tar.inside.places.tolist(), strict=True)
    ]
    return TarReader.of(asked.where, [tar.location for tar in tars], members)


def _list_samples(tars: Sequence[_Tar], beside: FolderReader | UrlFolder, asked: Asked) -> Listing:
    splits = splits_in([tar.folder for tar in tars])
    rows = [
        Row(image, label, split)
        for tar, split in zip(tars, splits, strict=True)
        for image, label in zip(tar.images(), tar.labels(), strict=True)
    ]
    classes, origin = _class_list(beside)
    if classes:
        rows = [row._replace(label=_named(row.label, classes, f"{beside}/{origin}")) for row in rows]
    return list_labelled(
        rows,
        where=asked.where,
        seed=asked.seed,
        splits_from="names of tars",
        names_from=origin or "labels in the tars",
        classes=classes or None,
        left_out={"missing from their samples": sum(tar.inside.imageless for tar in tars)},
    )


def _class_list(beside: FolderReader | UrlFolder) -> tuple[list[str] | None, str]:
    """Class names from a file beside the tars, and the file's name."""
    for name in CLASS_LISTS:
        try:
            text = beside.read(name).decode("utf-8-sig")
            found = parse_json(text) if name.endswith(".json") else text.rstrip().splitlines()
        except (FileNotFoundError, PermissionError):  # some stores tell strangers of nothing but what is there
            continue
        except ValueError as error:
            raise DataError(f"{beside}/{name} cannot be read: {error}: write a list of class names") from error
        if isinstance(found, dict):
            found = [found.get(str(number), "") for number in range(len(found))]
        if not isinstance(found, list):
            raise DataError(f"{beside}/{name} is no list: write a list of class names")
        names = [str(each).strip() for each in found]
        if "" in names:  # left out, it would shift the numbers behind it
            raise DataError(f"{beside}/{name} has no name for class {names.index('')}: name every class, from 0 on")
        return names, name
    return None, ""


def _named(label: str, classes: Sequence[str], where: str) -> str:
    """A label by its name: it may be its number in the list, from 0, or the name itself."""
    if label.isdecimal() and int(label) < len(classes):
        return classes[int(label)]
    if label and label not in classes:
        raise DataError(
            f'{where} has {len(classes)} names and none for the label "{label}": add it, or remove the file'
        )
    return label


TARS = Source(recognises=recognises, open=open_tars)
