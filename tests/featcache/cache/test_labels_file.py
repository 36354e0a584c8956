"""Labels mended by a CSV file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import featcache
from featcache.cache.labels_file import new_labels, read_labels_file
from featcache.errors import CacheError
from featcache.show.spreadsheet import spreadsheet
from tests.conftest import ImageFolder


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_labels_are_mended_and_nothing_is_written(root: Path, image_folder: ImageFolder, tmp_path: Path) -> None:
    folder = image_folder(per_class=6)
    cache = featcache.extract("tiny", str(folder), name="c", workers=0, device="cpu", progress=False)
    train, test = cache["train"], cache["test"]
    other = (int(train.labels[0]) + 1) % 3
    lines = [
        (train.ids[0], cache.class_names[other]),
        (test.ids[1], None),
        (train.ids[2], cache.class_names[train.labels[2]]),  # says what is there
    ]
    mended = cache.relabelled(written(tmp_path / "l.csv", spreadsheet(("id", "label"), lines)))
    assert mended["train"].labels[0] == other
    assert mended["test"].labels[1] == -1
    assert not mended["test"].labelled[1]
    assert mended.mended is not None
    assert (mended.mended.changed["train"], mended.mended.left_out["test"]) == (1, 1)
    assert mended.mended.told.startswith("l.csv changes 1 labels and leaves 1 images out (train 1")
    expected = train.labels.copy()
    expected[0] = other
    np.testing.assert_array_equal(mended["train"].labels, expected)
    np.testing.assert_array_equal(mended["train"].stored_labels, train.labels)
    for same in (cache, featcache.open("c")):
        assert (same["train"].labels[0], same.mended) == (train.labels[0], None)
    assert mended.digest == cache.digest
    assert mended.load()["train"].labels[0] == other


def test_the_digest_is_that_of_what_it_says(tmp_path: Path) -> None:
    one = read_labels_file(written(tmp_path / "a.csv", "id,label\na.png,x\n=b.png,\n"))
    saved_again = "\ufeffsplit;label;note;id\r\n;x;;a.png\r\n;;said;'=b.png\r\n;;;\r\n"
    assert read_labels_file(written(tmp_path / "b.csv", saved_again)).digest == one.digest
    assert read_labels_file(written(tmp_path / "c.csv", "id,label\na.png,y\n=b.png,\n")).digest != one.digest


IDS = {"train": ["a.png", "b.png"], "test": ["a.png", "c.png"]}
CLASSES = ("cat", "horse")


def test_a_split_says_which_of_equal_ids(tmp_path: Path) -> None:
    file = read_labels_file(written(tmp_path / "l.csv", "id,label,split\na.png,cat,test\na.png,horse,\nc.png,,\n"))
    assert new_labels(file, IDS, CLASSES) == {"train": {0: 1}, "test": {0: 0, 1: -1}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,label\nno.png,cat\nnor.png,cat\n", "the cache has no image 'no.png' (2 such lines); expected ids such as"),
        ("id,label,split\nb.png,cat,test\n", "split 'test' of the cache has no image 'b.png'"),
        ("id,label\na.png,cats\n", "'cats' is no class of the cache (of a.png; 1 such line); did you mean 'cat'?"),
        ("id,label\na.png,cat\na.png,horse\n", "calls a.png both 'cat' and 'horse'; expected one label"),
        ("name,label\n", "has no column 'id'; expected a CSV file with the columns id and label"),
        ("id,label\na.png\n", "line 2: 1 cells; expected"),
        ("", "has no column 'id'"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(CacheError) as error:
        new_labels(read_labels_file(written(tmp_path / "l.csv", text)), IDS, CLASSES)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="No such file or directory; expected a CSV file"):
        read_labels_file(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"id,label\n\xff\xfe,\n")
    with pytest.raises(CacheError, match="is not UTF-8; save it as CSV UTF-8"):
        read_labels_file(tmp_path / "bytes.csv")
