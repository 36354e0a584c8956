"""What headers tell is what the run would tell, and where all is well no pixel is decoded."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from featcache.datasets.readers.folder import FolderReader
from featcache.errors import DataError
from featcache.ids import encode_ids
from featcache.images import headers
from featcache.images.decode import decode, reason
from featcache.images.headers import look_at, why_unreadable


def encoded(form: str, mode: str = "RGB", value: float = 7) -> bytes:
    buffer = io.BytesIO()
    image = Image.new("F", (40, 30), value) if mode == "F" else Image.effect_noise((40, 30), 90).convert(mode)
    image.save(buffer, form)
    return buffer.getvalue()


FILES = {
    **{f"good.{form}": encoded(form) for form in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")},
    "with-a-tail.jpg": encoded("JPEG") + b"written by a camera",
    "whole-numbers.tif": encoded("TIFF", "F"),
    "fractions.tif": encoded("TIFF", "F", 0.5),
    "deep.png": encoded("PNG", "I;16"),
    "empty.png": b"",
    "text.jpg": b"no image at all",
    **{f"half.{form}": encoded(form)[: len(encoded(form)) // 2] for form in ("JPEG", "PNG", "GIF", "WEBP", "TIFF")},
    "no-end.jpg": encoded("JPEG")[:-2],
    "long.png": b"",
}


@pytest.fixture
def reader(tmp_path: Path) -> FolderReader:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    Image.new("L", (2001, 2)).save(tmp_path / "long.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "large.bmp").write_bytes(encoded("BMP") * 3)
    return FolderReader(tmp_path, most=9000)


def of_the_run(reader: FolderReader, name: str) -> str:
    try:
        decode(reader.read(name))
    except (DataError, OSError) as error:
        return reason(error)
    return ""


def test_each_reason_is_the_one_of_the_run(reader: FolderReader) -> None:
    names = sorted(path.name for path in reader.root.iterdir())
    told = {name: why_unreadable(reader, name) for name in names}
    run = {name: of_the_run(reader, name) for name in names}
    assert {name for name in names if told[name] != run[name]} == {"half.TIFF"}  # has no end to be looked for
    assert told["half.TIFF"] == ""
    assert {"pipe.png", "dangling.png", "large.bmp", "long.png", "fractions.tif", "half.JPEG"} <= {
        name for name, why in told.items() if why
    }


def test_no_pixel_of_a_whole_image_is_decoded(reader: FolderReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "decode", lambda raw: pytest.fail("decoded"))
    for name in FILES:
        if name.startswith("good"):
            assert why_unreadable(reader, name) == ""


@pytest.mark.parametrize("workers", [0, 2])
def test_reasons_come_in_the_order_of_the_rows(reader: FolderReader, workers: int) -> None:
    ids = {"train": encode_ids(["good.PNG", "empty.png", "good.GIF"]), "test": encode_ids(["text.jpg"])}
    parts = [("test", range(1)), ("train", range(1, 3)), ("train", range(1))]
    found = list(look_at(reader, ids, parts, workers, why_unreadable))
    assert [[bool(why) for why in part] for part in found] == [[True], [True, False], [False]]
    assert found[1][0] == "the file is empty"
