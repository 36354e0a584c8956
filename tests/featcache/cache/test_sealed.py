"""A changed character in a small file is found by readers and by `verify`, and mended where that can be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import featcache
from featcache.errors import CacheError
from featcache.records import SEAL
from featcache.verification.verify import verify

SMALL = ("manifest.json", "text/index.json", "complete.json")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = featcache.extract(
        "tiny", "digits", limit=10, workers=0, device="cpu", root=tmp_path_factory.mktemp("root"), progress=False
    )
    return Path(cache.path)


def read_all(cache: Path) -> object:
    opened = featcache.open(cache)
    text = opened.text
    read = (text.name, text.logit_scale, text.prompts, text.features.tobytes())
    return opened.manifest, opened.completion, read, [opened[split].images.tobytes() for split in opened.splits]


@pytest.mark.parametrize("name", SMALL)
def test_no_changed_character_passes_for_another_value(name: str, sound: Path, tmp_path: Path) -> None:
    expected, content = read_all(sound), (sound / name).read_bytes()
    cache = Path(shutil.copytree(sound, tmp_path / "c"))
    for place in np.random.default_rng(0).choice(len(content), 60, replace=False).tolist():
        for letter in (content[place] ^ 1, ord("7"), 0xFF):
            changed = bytearray(content)
            changed[place] = letter
            (cache / name).write_bytes(changed)
            found, told = _read_or_told(cache)
            if told:
                assert str(cache) in told
                assert "\n" not in told
            else:
                assert _without_extra_keys(found) == _without_extra_keys(expected), (place, chr(letter))


def _read_or_told(cache: Path) -> tuple[object, str]:
    try:
        return read_all(cache), ""
    except CacheError as error:
        return None, str(error)


def _without_extra_keys(read: object) -> object:
    """A seal whose key was changed is a key that nobody knows."""
    manifest, completion, *rest = read  # type: ignore[misc]
    kept = ("finished", "rows", "unreadable", "seconds")
    return manifest["identity"], manifest["plan"], {key: completion[key] for key in kept}, rest


@pytest.mark.parametrize("name", ["zarr.json", "train/images/zarr.json", "test/state/zarr.json", "val/ids/zarr.json"])
def test_metadata_that_cannot_be_read_is_written_again(name: str, sound: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    cache = Path(shutil.copytree(sound, home / "caches" / sound.name))
    expected = read_all(cache)[2:]  # type: ignore[index]
    (cache / name).write_text("{")
    assert verify(featcache.cache.catalogue.locate(cache), sample=0, repair=True).repaired
    again = featcache.extract("tiny", "digits", limit=10, workers=0, device="cpu", root=home, progress=False)
    assert read_all(Path(again.path))[2:] == expected  # type: ignore[index]
    assert verify(again.folder, sample=0).problems == []


@pytest.mark.parametrize(("name", "key"), [("text/index.json", "default"), ("complete.json", "rows")])
def test_verify_names_it_and_a_repair_writes_it_again(name: str, key: str, sound: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    cache = Path(shutil.copytree(sound, home / "caches" / sound.name))
    expected = read_all(cache)[2:]  # type: ignore[index]
    content = json.loads((cache / name).read_text())
    assert SEAL in content
    (cache / name).write_text(json.dumps(content | {key: "another"}))
    found = verify(featcache.cache.catalogue.locate(cache), sample=0, repair=True)
    assert found.problems == [f"{name} is damaged"]
    assert found.repaired
    again = featcache.extract("tiny", "digits", limit=10, workers=0, device="cpu", root=home, progress=False)
    assert read_all(Path(again.path))[2:] == expected  # type: ignore[index]
    assert verify(again.folder, sample=0).problems == []


def test_a_manifest_without_a_seal_is_held_to_its_digest(sound: Path, tmp_path: Path) -> None:
    cache = Path(shutil.copytree(sound, tmp_path / "c"))
    manifest = json.loads((cache / "manifest.json").read_text())
    del manifest[SEAL]
    (cache / "manifest.json").write_text(json.dumps(manifest))
    assert read_all(cache) == read_all(sound)
    manifest["identity"]["dataset"]["class_names"][0] = "none"
    (cache / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CacheError, match=r"manifest\.json is damaged: its digest is another"):
        featcache.open(cache)


def test_arrays_metadata_that_is_changed_is_told_and_mended(sound: Path, tmp_path: Path) -> None:
    expected = read_all(sound)[2:]  # type: ignore[index]
    random = np.random.default_rng(0)
    for number, name in enumerate(("zarr.json", "train/images/zarr.json", "test/state/zarr.json")):
        home = tmp_path / str(number)
        cache = Path(shutil.copytree(sound, home / "caches" / sound.name))
        content = (cache / name).read_bytes()
        for place in random.choice(len(content), 25, replace=False).tolist():
            (cache / name).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            found, told = _read_or_told(cache)
            assert told or found[2:] == expected  # type: ignore[index]
            verified = verify(featcache.cache.catalogue.locate(cache), sample=0)
            assert verified.problems or found[2:] == expected  # type: ignore[index]
    shape = json.loads(content)["shape"]
    assert shape == [10]
    (cache / name).write_bytes(content)
    assert verify(featcache.cache.catalogue.locate(cache), sample=0).problems == []
    root = json.loads((cache / "zarr.json").read_text())
    root["consolidated_metadata"]["metadata"]["test/state"]["shape"] = [9]
    (cache / "zarr.json").write_text(json.dumps(root))
    found_again = verify(featcache.cache.catalogue.locate(cache), sample=0, repair=True)
    assert found_again.problems == ["zarr.json is damaged"]
    again = featcache.extract("tiny", "digits", limit=10, workers=0, device="cpu", root=home, progress=False)
    assert read_all(Path(again.path))[2:] == expected  # type: ignore[index]


def test_an_array_in_the_place_of_a_split_is_damage(sound: Path, tmp_path: Path) -> None:
    cache = Path(shutil.copytree(sound, tmp_path / "c"))
    root = json.loads((cache / "zarr.json").read_text())
    known = root["consolidated_metadata"]["metadata"]
    known["train"] = known["train/labels"]
    (cache / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(CacheError, match=r"the metadata of train in .* is damaged \(it is an array\)"):
        featcache.open(cache)["train"]


def test_an_array_that_is_not_named_any_more_is_damage_and_not_none(sound: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(sound, tmp_path / "c")) / "zarr.json"
    root.write_text(root.read_text().replace("train/content", "train/contenu"))
    with pytest.raises(CacheError, match=r"the metadata of train in .* is damaged \(content is not named there\)"):
        featcache.open(root.parent)["train"]


def test_a_chunk_of_no_rows_is_damage(sound: Path, tmp_path: Path) -> None:
    """Zarr divides by it."""
    root = Path(shutil.copytree(sound, tmp_path / "c")) / "zarr.json"
    said = json.loads(root.read_text())
    codecs = said["consolidated_metadata"]["metadata"]["train/images"]["codecs"]
    codecs[0]["configuration"]["chunk_shape"][0] = 0
    root.write_text(json.dumps(said))
    with pytest.raises(CacheError, match="the metadata of the arrays in .* is damaged"):
        featcache.open(root.parent)["train"]
