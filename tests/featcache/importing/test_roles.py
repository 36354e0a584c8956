"""Names of arrays are understood where only one thing can be meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featcache.errors import DataError
from featcache.importing.formats.arrays import Arrays, column_of
from featcache.importing.roles import find_roles


def arrays(**given: Any) -> Arrays:
    return Arrays(Path("x.npz"), {name: column_of(name, np.asarray(array)) for name, array in given.items()})


X, Y = np.ones((4, 2), np.float32), np.zeros(4, np.int64)


def named(found: Any) -> dict[str, Any]:
    rows = {f"{split or 'all'}.{role}": c.name for role, each in found.of_rows.items() for split, c in each.items()}
    return rows | {role: column.name for role, column in found.of_classes.items()}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"embeddings": X, "features": X, "labels": Y}, {"all.embeddings": "embeddings", "all.labels": "labels"}),
        (
            {"image_features": X, "y": Y, "text_features": X},
            {"text": "text_features", "all.embeddings": "image_features"},
        ),
        (
            {"X_train": X, "y_train": Y, "X_test": X, "y_test": Y},
            {"train.embeddings": "X_train", "test.labels": "y_test"},
        ),
        ({"valid-feats": X, "train-feats": X}, {"val.embeddings": "valid-feats", "train.embeddings": "train-feats"}),
        ({"zzz": X, "labels": Y}, {"all.embeddings": "zzz"}),
        (
            {"features": X, "text": np.array(["a caption"] * 4), "ids": Y},
            {"all.embeddings": "features", "all.ids": "ids"},
        ),
    ],
)
def test_names_are_understood(given: dict[str, Any], expected: dict[str, str]) -> None:
    assert expected.items() <= named(find_roles(arrays(**given), {})).items()


@pytest.mark.parametrize(
    ("given", "chosen", "message"),
    [
        ({"features": X, "vectors": X}, {}, "features and vectors, and each may be embeddings: type --array"),
        ({"a": X, "b": X}, {}, "several arrays that may be the embeddings: it holds a"),
        ({"labels": Y}, {}, r"no array of embeddings \(N, D\)"),
        (
            {"train_x": X, "test_x": X, "test_y": Y},
            {},
            "labels of test and embeddings of test and train: type --array train",
        ),
        ({"test_x": X, "test_y": Y}, {}, "names the embeddings of test alone: type --array train.embeddings=NAME"),
        ({"x": X, "test_x": X}, {}, "type --array embeddings=none to take those of splits alone"),
    ],
)
def test_where_two_would_do_none_is_taken(given: dict[str, Any], chosen: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_roles(arrays(**given), chosen)


def test_what_is_not_our_own_name_is_told() -> None:
    told = find_roles(arrays(image_features=X, labels=Y, junk=Y), {}).told
    assert told == ["embeddings: image_features", "not used: junk"]


def test_what_the_user_says_goes_before_names() -> None:
    found = find_roles(arrays(embeddings=X, other=X, labels=Y), {"embeddings": "other", "labels": "none"})
    assert named(found) == {"all.embeddings": "other"}
