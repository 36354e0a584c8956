"""AVIF and HEIC are read as any image is, also by workers that are forked from a process that has read some."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featcache.extraction.extract import run_extraction
from featcache.extraction.request import Request
from featcache.images.decode import decode
from featcache.images.headers import looks_whole

pillow_heif = pytest.importorskip("pillow_heif")


def photo(kind: str, tint: int) -> bytes:
    pixels = np.full((48, 64, 3), tint, np.uint8)
    pixels[:24] = 255 - tint
    buffer = io.BytesIO()
    if kind == "avif":
        Image.fromarray(pixels).save(buffer, "AVIF", quality=95)
    else:
        pillow_heif.from_pillow(Image.fromarray(pixels)).save(buffer, quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["avif", "heic"])
def test_a_photo_becomes_its_pixels(kind: str) -> None:
    raw = photo(kind, 40)
    assert looks_whole(io.BytesIO(raw))
    image = decode(raw)
    assert image.size == (64, 48)
    assert abs(int(np.asarray(image.convert("RGB"))[40, 30, 0]) - 40) < 6
    with pytest.raises(ValueError, match="image"):
        decode(raw[: len(raw) // 2])


def test_forked_workers_read_them(root: Path, tmp_path: Path) -> None:
    for place, name in enumerate(("a", "b")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(6):
            kind = "heic" if number % 2 else "avif"
            (tmp_path / "set" / name / f"{number}.{kind}").write_bytes(photo(kind, 30 + 90 * place + 10 * number))
    caches = [
        run_extraction(
            Request(model="tiny", dataset=str(tmp_path / "set"), workers=workers, name=f"w{workers}", device="cpu"),
            progress=False,
        ).cache
        for workers in (0, 2)
    ]
    assert sum(caches[0].rows.values()) == 12
    for split in caches[0].splits:
        assert caches[0][split].images.tobytes() == caches[1][split].images.tobytes()
        assert np.isfinite(caches[0][split].images).all()
