from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import featcache
from featcache.cache.layout import MANIFEST
from featcache.cache.reading import read_manifest
from featcache.cache.sealed import write_sealed
from featcache.errors import CacheError, CacheIncomplete
from featcache.places.folder import Folder, array_in
from featcache.verification.verify import verify


def test_a_sound_cache(cache: featcache.Cache) -> None:
    found = verify(cache.folder, sample=12, device="cpu")
    assert found.problems == []
    assert found.rows == cache.rows
    assert found.sampled == found.identical > 0


def extract_again(cache: featcache.Cache) -> featcache.Cache:
    folder = cache.manifest["provenance"]["request"]["dataset"]
    return featcache.extract(
        "tiny", folder, batch_size=4, workers=0, views=1, on_error="skip", device="cpu", progress=False
    )


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[min(10, len(content) - 1)] ^= 1
    file.write_bytes(bytes(content))


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize(
    ("part", "damage"),
    [
        ("train/images/c/1/0", flip),
        ("train/images/c/1/0", truncate),
        ("train/images/c/7/0", flip),  # the last shard, partly filled
        ("train/images/c/7/0", empty),
        ("train/views/c/7/0/0", truncate),
        ("train/state/c/1", Path.unlink),
        ("train/state/c/7", flip),
        ("val/labels/c/0", flip),
        ("val/ids/c/0/0", Path.unlink),
    ],
)
def test_damage_is_found_told_by_readers_and_mended(
    cache: featcache.Cache, part: str, damage: Callable[[Path], None]
) -> None:
    before = {split: (cache[split].images.tobytes(), cache[split].ids.tobytes()) for split in cache.splits}
    damage(Path(cache.path, part))
    split, array = part.split("/")[:2]
    fresh = featcache.open(cache.path)[split]
    if not (damage is Path.unlink and array in ("labels", "ids")):  # fill values, found by their digest
        with pytest.raises(CacheIncomplete, match="--repair"):
            getattr(fresh, "valid" if array == "state" else array)
    assert verify(cache.folder, sample=0).problems
    assert verify(cache.folder, repair=True).repaired
    again = extract_again(cache)
    assert {split: (again[split].images.tobytes(), again[split].ids.tobytes()) for split in again.splits} == before
    assert verify(again.folder, sample=0).problems == []


def test_what_a_power_cut_left_of_an_unfinished_shard_is_written_anew(cache: featcache.Cache) -> None:
    """Regression: Zarr reads an old partly filled shard before writing it, and stumbled over a torn one."""
    before = cache["train"].images.tobytes()
    for name in ("complete.json", "train/state/c/7"):
        Path(cache.path, name).unlink()
    truncate(Path(cache.path, "train/images/c/7/0"))
    assert extract_again(cache)["train"].images.tobytes() == before


def test_damaged_text_is_found_and_mended(cache: featcache.Cache) -> None:
    before = cache.text.features
    chunk = next(Path(cache.path, "text").glob("*/features/c/0/0/0"))
    flip(chunk)
    with pytest.raises(CacheIncomplete, match="--repair"):
        _ = cache.text
    assert any("prompt set" in problem for problem in verify(cache.folder, sample=0).problems)
    verify(cache.folder, repair=True)
    assert np.array_equal(extract_again(cache).text.features, before)


def test_a_mended_image_is_tried_again_after_repair(cache: featcache.Cache) -> None:
    folder = Path(cache.manifest["provenance"]["request"]["dataset"])
    shutil.copy(folder / "class_0" / "000.png", folder / "class_0" / "broken.png")
    assert verify(cache.folder, repair=True).repaired
    again = extract_again(cache)
    assert all(again[split].valid.all() for split in again.splits)
    assert again.folder.names("bad") == []


def _write(cache: featcache.Cache, array: str, row: int, value: object) -> None:
    array_in(cache.folder.group("a"), array)[row] = value


@pytest.mark.parametrize(
    ("array", "row", "value", "problem"),
    [
        ("test/state", 2, -1, "1 of 61 rows are missing"),
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


def test_an_unfinished_cache(cache: featcache.Cache) -> None:
    Path(cache.path, "complete.json").unlink()
    assert any("not finished" in problem for problem in verify(Folder(cache.path), sample=0).problems)


@pytest.mark.parametrize(
    ("rows", "rows_per_shard", "told"),
    [
        (2**40, 4, "train has not the 1,099,511,627,776 rows"),
        (2**63, 4, "expected int"),
        (None, 0, "expected int"),
        (None, 1, "not what was written"),
    ],
)
def test_a_manifest_of_absurd_counts_ends_soon(
    cache: featcache.Cache, rows: int | None, rows_per_shard: int, told: str
) -> None:
    manifest = read_manifest(cache.folder)
    manifest["plan"] |= {"rows": {**cache.rows, "train": rows or cache.rows["train"]}, "rows_per_shard": rows_per_shard}
    write_sealed(cache.folder, MANIFEST, manifest)
    try:
        found = verify(cache.folder, sample=0).problems
    except CacheError as error:
        found = [str(error)]
    assert any(told in problem for problem in found), found
