"""What torchvision does for us: downloads with progress and checksums, and reading CIFAR's files."""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import socket
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featcache.datasets.cards import Card
from featcache.datasets.listing import Listing, complete_splits, make_split
from featcache.errors import DataError

TIMEOUT = 60.0  # seconds without a byte before a download counts as failed


def download(card: Card, root: Path) -> None:
    """Let torchvision download a set into `root`, in torchvision's layout; progress goes to standard error.

    It downloads and unpacks into a folder of its own first and moves the result in place when it is whole: torchvision
    takes a half-unpacked folder for a finished one.

    Raises:
        DataError: The download fails, says what to do by hand; or nothing can be written to `root`.
    """
    import torchvision.datasets  # imports torch

    assert card.torchvision is not None
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{card.name}-", dir=root) as staging:
            with contextlib.redirect_stdout(sys.stderr), _timeout():
                getattr(torchvision.datasets, card.torchvision)(staging, download=True)
            _move(Path(staging), root)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException, tarfile.TarError, zipfile.BadZipFile) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
        raise DataError(
            f"cannot download {card.title} to {root} ({reason}): {card.by_hand.format(root=root)}"
        ) from error


@dataclass(frozen=True)
class CifarReader:
    """Reads "train/00000" and "test/00000" from CIFAR's files; pixels are loaded once a process."""

    root: str
    torchvision: str

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        """Zeros: the images are arrays in one file."""
        return (0 for _ in ids)

    def read(self, image_id: str) -> npt.NDArray[np.uint8]:
        """(32, 32, 3) uint8."""
        split, _, row = image_id.partition("/")
        pixels: npt.NDArray[np.uint8] = _cifar(self.torchvision, self.root, split == "train").data[int(row)]
        return pixels


def list_cifar(card: Card, root: Path, seed: int) -> tuple[Listing, CifarReader]:
    """List CIFAR-10 or -100 from torchvision's files below `root`; val is 20 % of train, seeded.

    Raises:
        DataError: The files are there but damaged.
    """
    assert card.torchvision is not None
    try:
        found = {split: _cifar(card.torchvision, str(root), split == "train") for split in ("train", "test")}
    except RuntimeError as error:
        raise DataError(f"{card.title} in {root} is damaged: {card.by_hand.format(root=root)}") from error
    rows = {
        split: make_split((f"{split}/{i:05d}", int(y)) for i, y in enumerate(part.targets))
        for split, part in found.items()
    }
    splits, made = complete_splits(rows, seed)
    origin = {"from": "the set's own train and test", **made}
    listing = Listing(tuple(found["train"].classes), splits, origin, card.class_names_from)
    return listing, CifarReader(str(root), card.torchvision)


@functools.cache
def _cifar(name: str, root: str, train: bool) -> Any:
    import torchvision.datasets  # imports torch

    return getattr(torchvision.datasets, name)(root, train=train)


def _move(source: Path, target: Path) -> None:
    """Move everything in `source` into `target`, into folders that exist there already."""
    for entry in sorted(source.iterdir()):
        place = target / entry.name
        if entry.is_dir() and place.is_dir():
            _move(entry, place)
        else:
            os.replace(entry, place)


@contextlib.contextmanager
def _timeout() -> Iterator[None]:
    """A timeout for torchvision's downloads, which have none: a network that swallows packets would hang them."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
