"""Finding a named set's images below a data root, in the layouts that torchvision, CoOp and a plain download leave.

The order, for a data root R:

1. R is a zip archive: it is read in place, and the card's roots are looked for in it.
2. R/root for each of the card's `roots`, in the card's order. EuroSAT's are eurosat/2750 (torchvision, CoOp),
   2750 (R is the set's own folder) and . (R holds the class folders).
3. R/archive for each of the card's `archives` (EuroSAT.zip), read in place.

Without a data root, R is the folder that downloads go to, `~/.cache/featcache/datasets`. A place counts when it
holds one of the card's markers or class folders, so that an empty folder is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from featcache.datasets.cards import Card
from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.readers.image_files import ImageFiles
from featcache.datasets.readers.zip_archive import ZipReader
from featcache.errors import DataError


@dataclass(frozen=True)
class Located:
    """Where a set's images are.

    Attributes:
        files: The image folder; ids are relative to it.
        places: Folders in which the set's split file and its own lists are looked for, in order.
    """

    files: ImageFiles
    places: tuple[Path, ...]

    def find(self, name: str) -> Path | None:
        """The file or folder of this name in the first of `places` that has it."""
        return next((place / name for place in self.places if (place / name).exists()), None)


def locate(card: Card, root: Path) -> Located | None:
    """Look for the images in the order above; None where they are not.

    Raises:
        DataError: `root` is a file that is no zip archive, or an archive without the set.
    """
    if root.is_file():
        return Located(_in_archive(card, root), (root.parent,))
    for below in card.roots:
        files = FolderReader(root / below)
        if (root / below).is_dir() and _holds(card, files):
            return Located(files, _unique(root, files.root.parent, files.root))
    for below in card.archives:
        if (root / below).is_file():
            return Located(_in_archive(card, root / below), _unique(root, (root / below).parent))
    return None


def looked_in(card: Card, root: Path) -> str:
    """The places that `locate` tries, for an error message."""
    below = [*(r for r in card.roots if r != "."), *card.archives]
    return f"{root} ({', '.join(below)}{', or the class folders themselves' if '.' in card.roots else ''})"


def _in_archive(card: Card, path: Path) -> ZipReader:
    if path.suffix.lower() != ".zip":
        raise DataError(f"{path} is not a zip archive: unpack it and give the folder as --data-root")
    archive = ZipReader(path)
    for below in card.roots:
        if archive.has(below) and _holds(card, archive.under(below)):
            return archive.under(below)
    raise DataError(f"{path} does not hold {card.title}: expected {' or '.join(_markers(card)[:2])} in it")


def _holds(card: Card, files: ImageFiles) -> bool:
    markers = _markers(card)
    return not markers or any(files.has(marker) for marker in markers)


def _markers(card: Card) -> tuple[str, ...]:
    return card.marker or card.folders or ()


def _unique(*places: Path) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(places))
