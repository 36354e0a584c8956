"""Class names given in place of the folders'."""

from __future__ import annotations

from pathlib import Path

import pytest

from featcache.datasets.load import load_dataset
from featcache.errors import DataError
from tests.pictures import listing_of, make_class_folders


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["a cat", "a dog"]', ("a cat", "a dog")),
        ('{"dog": "a hot dog"}', ("cat", "a hot dog")),
        ("a cat\na dog\n\n", ("a cat", "a dog")),
    ],
)
def test_class_names_from_a_file(text: str, expected: tuple[str, ...], tmp_path: Path) -> None:
    make_class_folders(tmp_path / "set", {"cat": 5, "dog": 5})
    (tmp_path / "names").write_text(text)
    dataset = load_dataset(str(tmp_path / "set"), class_names=tmp_path / "names")
    assert dataset.class_names == expected
    assert dataset.provenance["class_names"] == "given, names"
    assert listing_of(dataset) == listing_of(load_dataset(str(tmp_path / "set")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["a cat"]', "has 1 class names, the data set has 2 classes"),
        ("one\ntwo\nthree", "has 3 class names, the data set has 2 classes.*: cat, dog"),
        ('{"cow": "a cow"}', 'names the class "cow".*2 classes are cat, dog'),
        ('["Same", "same"]', 'the class "same" twice'),
        ('["unfinished"', "neither JSON"),
    ],
)
def test_class_names_errors(text: str, message: str, tmp_path: Path) -> None:
    make_class_folders(tmp_path / "set", {"cat": 5, "dog": 5})
    (tmp_path / "names").write_text(text)
    with pytest.raises(DataError, match=message):
        load_dataset(str(tmp_path / "set"), class_names=tmp_path / "names")
    with pytest.raises(DataError, match="No such file"):
        load_dataset(str(tmp_path / "set"), class_names=tmp_path / "nowhere")
