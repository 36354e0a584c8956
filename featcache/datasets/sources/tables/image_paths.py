"""Which file a row of a table means: as it is written, or where that is not there, the one that it can only mean.

Windows' separators become slashes. Names without an ending, and names of files that all lie in one folder below the
table, are looked for among the images there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from featcache.datasets.dataset import Split
from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.readers.image_files import is_image
from featcache.datasets.readers.url_folder import UrlFolder
from featcache.datasets.sources.tables.columns import TableOptions
from featcache.errors import DataError
from featcache.ids import Ids

Folder = FolderReader | UrlFolder


def placed(
    folder: Folder, where: str, found: Mapping[str, Split], options: TableOptions
) -> tuple[Folder, dict[str, Split], list[str]]:
    """The folder that images are read from, the splits with paths in it, and what was guessed, a line each.

    Args:
        folder: The table's.
        where: What messages call the table.
        found: Splits whose ids are as the table has them.
        options: What is told of the images.

    Raises:
        DataError: Files do not exist, or names without an ending may mean several.
    """
    home = folder if options.image_dir is None else FolderReader(options.image_dir.expanduser().resolve())
    if options.suffix is None and not any(home.missing(split.ids) for split in found.values()):
        return home, dict(found), []
    names = [name for split in found.values() for name in split.ids]
    files, told = _files(home, names, where, options)
    splits, start = {}, 0
    for name, split in found.items():
        splits[name] = Split(Ids.of(files[start : start + len(split)]), split.labels)
        start += len(split)
    return home, splits, told


def _files(home: Folder, names: Sequence[str], where: str, options: TableOptions) -> tuple[Sequence[str], list[str]]:
    """The path of each row's file."""
    told, suffix = list[str](), options.suffix or ""
    suffix = suffix if not suffix or suffix.startswith(".") else f".{suffix}"
    names = [name if name.lower().endswith(suffix.lower()) else name + suffix for name in names]
    missing = home.missing(names)
    if missing and any("\\" in name for name in missing):
        names = [name.replace("\\", "/") for name in names]
        told.append("paths: Windows' separators read as slashes")
        missing = home.missing(names)
    if not missing:
        return names, told
    below = _below(home, names, missing[0])
    own = f"{PurePath(where).stem}/"
    below = {own: below[own]} if own in below else below  # train.csv beside train/
    if len(below) > 1:
        shown = " or ".join(sorted(f"{prefix}{missing[0]}" for prefix in below))
        raise DataError(f"{where}: {missing[0]} may be {shown} in {home}: type --image-dir DIR")
    for files in below.values():
        told.append(f"images: {files[names.index(missing[0])]} for {missing[0]}, and so on")
        return files, told
    raise DataError(
        f"{where}: {len(missing)} of {len(names)} files do not exist, first {missing[0]}: paths are relative to {home} "
        "(--image-dir names another folder, --suffix an ending that they lack)"
    )


def _below(home: Folder, names: Sequence[str], first: str) -> dict[str, list[str]]:
    """Folders below in which every row has one file, with or without its ending, and the files; by their beginning."""
    files = defaultdict[str, list[str]](list)
    for path in filter(is_image, home.paths()):
        files[path].append(path)
        files[path.rpartition(".")[0]].append(path)
    ends = [known for known in files if known == first or known.endswith(f"/{first}")]
    found = {}
    for prefix in dict.fromkeys(known.removesuffix(first) for known in ends):
        its = [files.get(prefix + name, []) for name in names]
        if all(len(each) == 1 for each in its):
            found[prefix] = [path for (path,) in its]
    return found
