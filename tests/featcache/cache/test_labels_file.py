"""Labels mended by a CSV file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import featcache
from featcache.cache.labels_file import read_labels_file
from featcache.errors import CacheError
from featcache.show.spreadsheet import spreadsheet
from tests.conftest import ImageFolder


@pytest.fixture
def cache(root: Path, image_folder: ImageFolder) -> featcache.Cache:
    folder = image_folder(per_class=6)
    return featcache.extract("tiny", str(folder), name="c", workers=0, device="cpu", progress=False)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_labels_are_mended_and_nothing_is_written(cache: featcache.Cache, tmp_path: Path) -> None:
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
    saved_again = "﻿split;label;note;id\r\n;x;;a.png\r\n;;said;'=b.png\r\n;;;\r\n"
    assert read_labels_file(written(tmp_path / "b.csv", saved_again)).digest == one.digest
    assert read_labels_file(written(tmp_path / "c.csv", "id,label\na.png,y\n=b.png,\n")).digest != one.digest


def test_a_split_says_which_of_equal_ids(cache: featcache.Cache, tmp_path: Path) -> None:
    cache["test"].ids[0] = cache["train"].ids[0]
    first, second, third = cache.class_names
    lines = f"id,label,split\n{cache['train'].ids[0]},{second},test\n{cache['train'].ids[0]},{third},\n"
    mended = cache.relabelled(written(tmp_path / "l.csv", lines))
    assert (mended["train"].labels[0], mended["test"].labels[0]) == (2, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,label\nno.png,{a}\nnor.png,{a}\n", "the cache has no image 'no.png' (2 such lines); expected ids such as"),
        ("id,label,split\n{id},{a},test\n", "split 'test' of the cache has no image"),
        ("id,label\n{id},{a}x\n", "'{a}x' is no class of the cache (of {id}; 1 such line); did you mean '{a}'?"),
        ("id,label\n{id},{a}\n{id},{b}\n", "calls {id} both '{a}' and '{b}'; expected one label"),
        ("name,label\n", "has no column 'id'; expected a CSV file with the columns id and label"),
        ("id,label\n{id}\n", "line 2: 1 cells; expected"),
        ("", "has no column 'id'"),
    ],
)
def test_a_bad_file_is_one_line(cache: featcache.Cache, tmp_path: Path, text: str, expected: str) -> None:
    first, second, _ = cache.class_names
    names = {"id": cache["train"].ids[0], "a": first, "b": second}
    with pytest.raises(CacheError) as error:
        cache.relabelled(written(tmp_path / "l.csv", text.format(**names)))
    assert expected.format(**names) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_no_text(cache: featcache.Cache, tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="No such file or directory; expected a CSV file"):
        cache.relabelled(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"id,label\n\xff\xfe,\n")
    with pytest.raises(CacheError, match="is not UTF-8; save it as CSV UTF-8"):
        cache.relabelled(tmp_path / "bytes.csv")
