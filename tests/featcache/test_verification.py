from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import featcache
from featcache.storage import Folder, array_in
from featcache.verification import verify
from tests.conftest import ImageFolder


@pytest.fixture
def cache(root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch) -> featcache.Cache:
    monkeypatch.setattr("featcache.plan.SECONDS_PER_SHARD", 1e-9)  # one batch a shard
    folder = image_folder()
    (folder / "class_0" / "broken.png").write_bytes(b"")
    return featcache.extract(
        "tiny", str(folder), batch_size=4, workers=0, views=1, on_error="skip", device="cpu", progress=False
    )


def test_a_sound_cache(cache: featcache.Cache) -> None:
    found = verify(cache.folder, sample=12)
    assert found.problems == []
    assert found.rows == cache.rows
    assert found.sampled == found.identical > 0


def test_a_flipped_bit_is_found_and_mended(cache: featcache.Cache) -> None:
    before = cache["train"].images.tobytes()
    shard = Path(cache.path, "train/images/c/1/0")
    damaged = bytearray(shard.read_bytes())
    damaged[10] ^= 1
    shard.write_bytes(bytes(damaged))
    found = verify(cache.folder, sample=0)
    assert [problem.split(":")[0] for problem in found.problems] == ["train rows 4-7"]
    assert "checksum" in found.problems[0]

    verify(cache.folder, sample=0, repair=True)
    asked = cache.manifest["provenance"]["request"]
    again = featcache.extract(
        "tiny", asked["dataset"], batch_size=4, workers=0, views=1, on_error="skip", device="cpu", progress=False
    )
    assert again["train"].images.tobytes() == before
    assert verify(again.folder, sample=0).problems == []


def _write(cache: featcache.Cache, array: str, row: int, value: object) -> None:
    array_in(cache.folder.group("a"), array)[row] = value


@pytest.mark.parametrize(
    ("array", "row", "value", "problem"),
    [
        ("test/state", 2, -1, "1 rows missing"),
        ("test/images", 2, np.nan, "hold no numbers"),
        ("train/views", 2, np.nan, "hold no numbers"),
        ("val/labels", 0, 2, "not those of the listing"),
    ],
)
def test_what_is_wrong_is_said(cache: featcache.Cache, array: str, row: int, value: float, problem: str) -> None:
    assert cache[array.split("/")[0]].valid[row]
    _write(cache, array, row, value)
    assert any(problem in found for found in verify(cache.folder, sample=0).problems)


def test_numbers_in_an_unreadable_row_are_a_problem(cache: featcache.Cache) -> None:
    split, row = next((s, int(np.flatnonzero(~cache[s].valid)[0])) for s in cache.splits if not cache[s].valid.all())
    _write(cache, f"{split}/images", row, 0.0)
    assert any("marked as unreadable" in found for found in verify(cache.folder, sample=0).problems)


def test_embeddings_of_something_else_are_found_by_encoding_again(cache: featcache.Cache) -> None:
    images = array_in(cache.folder.group("a"), "train/images")
    shuffled, readable = np.asarray(images[:]), cache["train"].valid
    shuffled[readable] = shuffled[readable][::-1]
    images[:] = shuffled
    found = verify(cache.folder, sample=1000)
    assert any("1 - cosine" in problem for problem in found.problems)
    assert found.largest_difference is not None
    assert found.largest_difference > 1e-3


def test_an_unfinished_cache(cache: featcache.Cache) -> None:
    Path(cache.path, "complete.json").unlink()
    assert any("unfinished" in problem for problem in verify(Folder(cache.path), sample=0).problems)
