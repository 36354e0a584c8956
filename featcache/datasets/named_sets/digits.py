"""scikit-learn's handwritten digits (Alpaydin and Kaynak 1998): 1,797 grey images of 8 x 8 pixels, ten classes."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from featcache.datasets.listing import Listing, make_split, stratified_splits


@dataclass(frozen=True)
class DigitsReader:
    """Reads "digit_0000" to "digit_1796" from scikit-learn's own copy."""

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        """Zeros: the images come with a package, not as files."""
        return (0 for _ in ids)

    def read(self, image_id: str) -> npt.NDArray[np.uint8]:
        """(8, 8) uint8; scikit-learn's 0..16 becomes 0..255."""
        pixels: npt.NDArray[np.uint8] = _digits()[0][int(image_id.removeprefix("digit_"))]
        return pixels


def list_digits(class_names: Sequence[str], seed: int) -> Listing:
    """List the digits, split 50/20/30 a class."""
    labels = _digits()[1].tolist()
    splits, origin = stratified_splits(make_split((f"digit_{i:04d}", y) for i, y in enumerate(labels)), seed)
    return Listing(tuple(class_names), splits, origin, "card")


@functools.cache
def _digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    from sklearn.datasets import load_digits  # slow to import, and only this set needs it

    values, labels = load_digits(return_X_y=True)
    pixels = np.rint(values.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    return pixels, labels.astype(np.int64)
