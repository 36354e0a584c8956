"""What is said when something is wrong: one line that tells what to do."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from featcache.datasets.load import load_dataset
from featcache.errors import DataError


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (2, 2), value).save(buffer, "PNG")
    return buffer.getvalue()


def make(root: Path, counts: Mapping[str, int], suffix: str = ".png") -> Path:
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            (root / folder / f"{i:03d}{suffix}").write_bytes(png(i))
    return root


def test_no_such_set() -> None:
    with pytest.raises(DataError, match=r"did you mean eurosat.*featcache datasets"):
        load_dataset("eurosta")
    with pytest.raises(DataError, match='no data set "zzz": `featcache datasets`'):
        load_dataset("zzz")
    with pytest.raises(DataError, match="does not exist"):
        load_dataset("./nowhere")


def test_folder_errors(tmp_path: Path) -> None:
    def refuses(folder: str, message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            load_dataset(str(tmp_path / folder))
        assert "\n" not in str(caught.value)

    (tmp_path / "empty").mkdir()
    refuses("empty", "is empty: expected one folder of images for each class")
    make(tmp_path / "one", {"cat": 3})
    refuses("one", "has 1 class")
    make(tmp_path / "mixed", {"train/cat": 3, "test/cat": 3, "dog": 3})
    refuses(
        "mixed", r"has the split folders (train/|test/), (train/|test/) and dog beside them: move those into train/"
    )
    make(tmp_path / "hollow", {"cat": 3, "dog": 0})
    refuses("hollow", 'class "dog" has no images')
    make(tmp_path / "twice", {"Cat": 3, "cat": 3})
    refuses("twice", 'class "cat" twice')
    make(tmp_path / "gap/train", {"cat": 3, "dog": 0})
    make(tmp_path / "gap/test", {"cat": 3, "dog": 2})
    refuses("gap", 'class "dog" has no images in train')
    (tmp_path / "notes.txt").write_text("")
    refuses(
        "notes.txt",
        r"nothing that can be opened: give a \.csv, .*a \.tar.* or hf:owner/name$",
    )
    (tmp_path / "broken.zip").write_bytes(b"PK")
    refuses("broken.zip", "not a readable zip archive")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_file_name_that_is_not_text(tmp_path: Path) -> None:
    make(tmp_path, {"cat": 3, "dog": 3})
    Path(os.fsdecode(bytes(tmp_path / "cat") + b"/\xff.png")).write_bytes(png(0))
    with pytest.raises(DataError, match="not valid UTF-8"):
        load_dataset(str(tmp_path))


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    make(tmp_path / "set", {"cat": 3, "dog": 3})
    with pytest.raises(DataError, match="--data-root is for sets with a name"):
        load_dataset(str(tmp_path / "set"), data_root=tmp_path)
    with pytest.raises(DataError, match=r"data root .*nowhere does not exist"):
        load_dataset("eurosat", data_root=tmp_path / "nowhere")
    for dataset in ("digits", str(tmp_path / "x.csv")):
        (tmp_path / "x.csv").write_text("path,label\n")
        with pytest.raises(DataError, match="--class-depth is for a folder or zip of class folders"):
            load_dataset(dataset, class_depth=1)
    with pytest.raises(DataError, match="column split"):
        load_dataset(str(tmp_path / "x.csv"), split_file=tmp_path / "s.json")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("{", "not JSON"),
        ('{"train": [["cat/000.png", 0]]}', "not one of CoOp's split files"),
        ('{"val": []}', "not one of CoOp's split files"),
        ('{"train": [["cat/000.png", 0, "cat"], ["dog/000.png", 2, "dog"]]}', "2 labels between 0 and 2"),
        ('{"train": [["cat/000.png", 0, "cat"], ["dog/000.png", 0, "dog"]]}', 'label 0 is "cat" and, for dog/000.png'),
        (
            '{"train": [["cat/000.png", 0, "cat"], ["dog/9.png", 1, "dog"], ["dog/8.png", 1, "dog"]]}',
            "2 of 3 images are not in .*, first dog/9.png",
        ),
        (
            '{"train": [["cat/000.png", 0, "cat"]], "test": [["dog/000.png", 1, "dog"]]}',
            'class "dog" has no images in train',
        ),
    ],
)
def test_split_file_errors(split: str, message: str, tmp_path: Path) -> None:
    make(tmp_path / "set", {"cat": 3, "dog": 3})
    (tmp_path / "split.json").write_text(split)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(str(tmp_path / "set"), split_file=tmp_path / "split.json")
    assert "\n" not in str(caught.value)


def test_listing_imports_no_torch(tmp_path: Path) -> None:
    make(tmp_path / "set", {"cat": 3, "dog": 3})
    code = (
        "import sys; from featcache.datasets.cards import list_cards; list_cards();"
        "from featcache.datasets.load import load_dataset;"
        f"load_dataset('digits'); load_dataset({str(tmp_path / 'set')!r});"
        "assert not {'torch', 'torchvision', 'open_clip'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
