"""The digits, whose split is made here: the same everywhere."""

from __future__ import annotations

import pickle

import numpy as np

from featcache.datasets.load import load_dataset
from tests.pictures import listing_of, split_sizes

DIGITS_DIGEST = "4d18cacd614d26fa0f97186ba361d2c502a645aa23a12137d9e3ff15a0cdba89"


def test_digits() -> None:
    dataset = load_dataset("digits")
    assert split_sizes(dataset) == dict(dataset.provenance["expected_rows"])
    assert sum(split_sizes(dataset).values()) == 1797
    # The split is the same everywhere: this digest was computed once.
    assert listing_of(dataset) == DIGITS_DIGEST
    from sklearn.datasets import load_digits

    source = load_digits()
    reader = pickle.loads(pickle.dumps(dataset.reader))
    for image, label in zip(dataset.splits["val"].ids[:50], dataset.splits["val"].labels[:50], strict=True):
        pixels = reader.read(image)
        row = int(image[-4:])
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, np.rint(source.images[row] * 255 / 16))
        assert source.target[row] == label
    assert dataset.class_names[3] == "three"
