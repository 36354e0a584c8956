"""What a tar holds: images, where they lie in it, and the labels beside them.

A sample of WebDataset is the files of one name up to its first dot: `0001.jpg`, `0001.cls`, `0001.json`. Its label is
the text in `.cls`, a number or a name, else that in `.json` (`LABEL_NAMES`).

It is read from headers alone, a second for 10,000 samples, and kept: a run that continues does not read it again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featcache.datasets.labelled import LABEL_NAMES
from featcache.datasets.readers.image_files import is_image, is_outside
from featcache.datasets.readers.remote import file_system, listed, shown
from featcache.datasets.readers.tars import Member, scan
from featcache.errors import DataError
from featcache.places.folder import is_url
from featcache.places.whole import write_whole
from featcache.records import parse_json

COMPANIONS = ("cls", "json", "txt")
"""How the files beside an image end that make a sample of it."""
TOGETHER = 8
"""Tars that are read at once: behind a URL each waits."""
OF_ANY_CONTENT = frozenset({"name", "Key", "url", "type", "mimetype", "partial", "size", "Size"})
"""What fsspec tells of a file that may stay as it is when the content changes: tars are padded to equal sizes."""


@dataclass(frozen=True, eq=False)
class TarIndex:
    """Images of one tar, in its order.

    Attributes:
        names: (N,) bytes: paths in the tar, in UTF-8.
        places: (N, 2) int64: where each begins, how many bytes it has.
        labels: (N,) bytes: labels in UTF-8; empty: none.
        samples: Whether files of the images' names lie beside them.
        imageless: Samples without an image: those that img2dataset could not download.
        outside: Images whose names lead out of the tar; they are not among the others.
    """

    names: npt.NDArray[np.bytes_]
    places: npt.NDArray[np.int64]
    labels: npt.NDArray[np.bytes_]
    samples: bool
    imageless: int
    outside: int


@dataclass
class _Sample:
    images: dict[str, Member] = field(default_factory=dict)
    cls: str = ""
    json: str = ""


def index_tars(locations: Sequence[str], kept: Path) -> list[TarIndex]:
    """An index of each tar: the one that is kept, unless the tar has changed since.

    Args:
        locations: Paths or URLs.
        kept: The folder in which they are kept.

    Raises:
        DataError: A tar is damaged, cannot be read, or holds a file twice.
        OSError: A tar on this machine cannot be read.
    """
    with ThreadPoolExecutor(TOGETHER) as pool:
        return list(pool.map(partial(_kept_index, kept=kept), locations))


def index_tar(location: str) -> TarIndex:
    """Read the headers of a tar, and the labels in it. Raises as `index_tars`."""
    samples: dict[str, _Sample] = {}
    loose: dict[str, Member] = {}
    beside, outside = False, 0
    for member in scan(location):
        if is_outside(member.path):
            outside += is_image(member.path)
            continue
        folder, slash, name = member.path.rpartition("/")
        stem, _, extension = name.partition(".")
        extension = extension.lower()
        sample = samples.setdefault(folder + slash + stem, _Sample())
        if is_image(member.path):
            if member.path in loose:
                raise DataError(f"{shown(location)} holds {member.path} twice: write it again, each sample once")
            loose[member.path] = sample.images[extension] = member
        elif extension in COMPANIONS:
            beside = True
            if extension == "cls":
                sample.cls = member.content().decode("utf-8", "replace").strip()
            elif extension == "json":
                sample.json = _label(member, location)
    if not beside:
        return _index([(member, "") for member in loose.values()], samples=False, imageless=0, outside=outside)
    whole = [(_image(each, location), each.cls or each.json) for each in samples.values() if each.images]
    return _index(whole, samples=True, imageless=len(samples) - len(whole), outside=outside)


def _index(images: Sequence[tuple[Member, str]], *, samples: bool, imageless: int, outside: int) -> TarIndex:
    return TarIndex(
        names=np.array([image.path.encode("utf-8", "surrogateescape") for image, _ in images], dtype=np.bytes_),
        places=np.array([(image.start, image.size) for image, _ in images], dtype=np.int64).reshape(-1, 2),
        labels=np.array([label.encode(errors="surrogatepass") for _, label in images], dtype=np.bytes_),
        samples=samples,
        imageless=imageless,
        outside=outside,
    )


def _image(sample: _Sample, location: str) -> Member:
    """A sample's image; of several, as with `jpg` and `mask.png`, the one whose ending has no other name before it."""
    plain = [image for extension, image in sample.images.items() if "." not in extension]
    found = list(sample.images.values()) if len(sample.images) == 1 else plain
    if len(found) != 1:
        both = " and ".join(image.path for image in sample.images.values())
        raise DataError(f"{shown(location)} has a sample of {len(sample.images)} images, {both}: keep one of them")
    return found[0]


def _label(member: Member, location: str) -> str:
    try:
        content = parse_json(member.content())
    except ValueError as error:
        raise DataError(f"{shown(location)}: {member.path} cannot be read: {error}: write it again") from error
    values = [content[key] for key in LABEL_NAMES if isinstance(content, dict) and key in content]
    return next((str(value).strip() for value in values if isinstance(value, int | str)), "")


def _kept_index(location: str, kept: Path) -> TarIndex:
    state = _state(location)
    if state is None:
        return index_tar(location)
    file = kept / f"{hashlib.sha256(json.dumps(state).encode()).hexdigest()[:32]}.npz"
    # Damage has many kinds, and an index that is damaged is made anew.
    with suppress(Exception), file.open("rb") as stored, np.load(stored) as arrays:
        names, places, labels = (arrays[name] for name in ("names", "places", "labels"))
        counts = (int(arrays[name]) for name in ("imageless", "outside"))
        return TarIndex(names, places, labels, bool(arrays["samples"]), *counts)
    index = index_tar(location)
    content = io.BytesIO()
    np.savez_compressed(content, **asdict(index))
    with suppress(OSError):  # what is not kept is found out again
        kept.mkdir(parents=True, exist_ok=True)
        write_whole(file, content.getvalue())
    return index


def _state(location: str) -> list[str] | None:
    """What changes when a tar does; None where nothing is told that would."""
    if not is_url(location):
        found = os.stat(location)
        return [str(Path(location).resolve()), str(found.st_size), str(found.st_mtime_ns)]
    with listed(location):
        files, path = file_system(location)
        entry = files.info(path)
    told = [f"{key}={entry[key]}" for key in sorted(entry) if key not in OF_ANY_CONTENT and entry[key]]
    return [shown(location), f"size={entry.get('size')}", *told] if told else None
