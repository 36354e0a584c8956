"""Format 2 and the one before it: what old caches still do, and what other programs see of new ones."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

import featcache
from featcache.cache.layout import COMPLETE
from featcache.cache.manifest import BEFORE, FORMAT
from featcache.cache.sealed import write_sealed
from featcache.cache.writing import CacheStore
from featcache.extraction.add_text import add_prompt_set
from featcache.places.folder import array_in
from featcache.verification.verify import verify
from tests.conftest import ImageFolder

GOLDEN = Path(__file__).parents[2] / "golden" / "format-1.zip"


def extract(folder: Path, **options: object) -> featcache.Cache:
    return featcache.extract("tiny", str(folder), workers=0, device="cpu", progress=False, **options)  # type: ignore[arg-type]


def test_a_cache_of_format_1_opens(root: Path) -> None:
    import shutil

    shutil.unpack_archive(GOLDEN, root / "caches")
    cache = featcache.open("digits-tiny-limit10")
    assert cache.manifest["format"] == BEFORE
    assert {split: len(cache[split]) for split in cache.splits} == {"train": 10, "val": 10, "test": 10}
    assert cache["train"].content is None
    assert cache["train"].labelled.all()
    fresh = featcache.extract("tiny", "digits", limit=10, name="fresh", workers=0, device="cpu", progress=False)
    for split in cache.splits:
        assert list(cache[split].ids) == list(fresh[split].ids)
        np.testing.assert_allclose(cache[split].images, fresh[split].images, atol=0.02)
    np.testing.assert_allclose(cache.text.weights(), fresh.text.weights(), atol=1e-4)
    assert verify(cache.folder, sample=0).problems == []
    again = featcache.extract("tiny", "digits", limit=10, device="cpu", progress=False)  # finished: nothing to do
    assert again.manifest["format"] == BEFORE


def test_a_cache_of_format_1_continues_as_it_was_begun(
    root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_folder()
    with monkeypatch.context() as old:
        old.setattr("featcache.extraction.agreement.FORMAT", BEFORE)
        begun = extract(folder, name="old")
    whole = begun["train"].images
    store = CacheStore(begun.folder, begun.manifest)
    store.forget(next(store.plan.shards("train")))
    continued = extract(folder, name="old")
    assert continued.manifest["format"] == BEFORE
    assert "content" not in continued.folder.names("train")
    assert np.array_equal(continued["train"].images, whole)
    assert extract(folder, name="new").manifest["format"] == FORMAT


def test_digests_are_of_the_files(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder()
    broken = next(folder.rglob("*.png"))
    broken.write_bytes(b"no image")
    cache = extract(folder, on_error="skip")
    for split in cache.splits:
        content = cache[split].content
        assert content is not None
        for image_id, digest in zip(cache[split].ids, content, strict=True):
            assert digest.tobytes() == hashlib.sha256((folder / image_id).read_bytes()).digest()[:16]
    flipped = array_in(cache.folder.group("a"), "train", "content")
    flipped[:] = 0
    assert any("hold no digest" in problem for problem in verify(cache.folder, sample=0).problems)


def test_other_programs_open_it_without_a_warning(root: Path, image_folder: ImageFolder, tmp_path: Path) -> None:
    cache = extract(image_folder(), views=1)
    templates = tmp_path / "mine.txt"
    templates.write_text("a drawing of a {}.\n")
    add_prompt_set(cache.folder, str(templates), name=None, default=False, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train = xarray.open_zarr(cache.path, group="train")
        every = xarray.open_datatree(cache.path, engine="zarr")  # type: ignore[arg-type]
        names = {name for name, _ in zarr.open_group(cache.path, mode="r").members(max_depth=None)}
    assert train.images.dims == ("row", "feature")
    assert train.views.dims == ("row", "view", "feature")
    assert train.ids.dims[0] == train.labels.dims[0] == train.state.dims[0] == train.content.dims[0] == "row"
    assert np.array_equal(train.images.values, cache["train"].images.astype(np.float16))
    assert len([name for name in names if name.endswith("/features")]) == 2  # the set added later is seen too
    assert set(cache.splits) < set(every.children)


def test_an_image_without_a_label_is_no_shot_and_no_test_image(root: Path, image_folder: ImageFolder) -> None:
    from adapters import Task, fit

    cache = extract(image_folder())
    for split in ("train", "test"):
        labels = array_in(cache.folder.group("a"), split, "labels")
        labels[:2] = -1
    counted = {split: rows - 2 * (split != "val") for split, rows in cache.completion["labelled"].items()}
    write_sealed(cache.folder, COMPLETE, cache.completion | {"labelled": counted})
    cache = featcache.open(cache.name)
    assert cache["test"].valid.all()
    assert cache["test"].labelled.sum() == len(cache["test"]) - 2
    task = Task.sample(cache, shots=2, seed=1)
    assert not {0, 1} & set(task.support.rows)
    assert len(task.test) == len(cache["test"]) - 2
    head = fit("zero-shot", cache, shots=1)
    assert json.loads(json.dumps(head.report_.accuracy))["test"] >= 0
