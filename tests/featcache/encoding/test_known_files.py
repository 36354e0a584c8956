from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featcache
from featcache.cache.layout import COMPLETE, IMAGES
from featcache.encoders.encoder import Encoder
from featcache.encoding.known_files import KnownFiles, told
from featcache.encoding.stream import ImageStream
from featcache.images.content import content_digest
from tests.pictures import draw_class_folders


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("known")
    photos = draw_class_folders(root / "photos", classes=2, per_class=8, seed=0)
    asked: dict[str, Any] = {"workers": 0, "progress": False, "device": "cpu", "root": root, "batch_size": 4}
    return featcache.extract("tiny", str(photos), **asked)


def root_of(cache: Any) -> Path:
    return Path(cache.path).parents[1]


def test_embeddings_are_found_by_what_files_hold(cache: Any) -> None:
    known = KnownFiles.under(root_of(cache), cache.encoder, batch_size=4, dtype="float16")
    assert len(known) == 16
    for split in cache.splits:
        part = cache[split]
        digests = [content_digest((root_of(cache) / "photos" / str(name)).read_bytes()) for name in part.ids]
        assert all(digest in known for digest in digests)
        taken, names = known.take(part.content[::-1])
        assert np.array_equal(taken, part.images[::-1])
        assert set(names) == {cache.name}
    assert content_digest(b"another file") not in known
    elsewhere = {**cache.encoder, "architecture": "/moved", "pretrained": "local"}
    assert len(KnownFiles.under(root_of(cache), elsewhere, batch_size=4, dtype="float16")) == 16


@pytest.mark.parametrize(
    "other",
    [{"batch_size": 8}, {"dtype": "float32"}, {"precision": "bf16"}, {"weights_sha256": "0"}, {"quick_gelu": 1}],
)
def test_those_that_were_made_otherwise_are_not(cache: Any, other: dict[str, Any]) -> None:
    asked = {"batch_size": 4, "dtype": "float16"}
    encoder = {**cache.encoder, **{key: value for key, value in other.items() if key not in asked}}
    asked |= {key: value for key, value in other.items() if key in asked}
    assert len(KnownFiles.under(root_of(cache), encoder, **asked)) == 0


def test_unfinished_caches_are_used_and_damaged_ones_are_not(cache: Any, tmp_path: Path) -> None:
    whole = shutil.copytree(cache.path, tmp_path / "caches" / "whole")
    asked: dict[str, Any] = {"batch_size": 4, "dtype": "float16"}
    (shutil.copytree(whole, tmp_path / "caches" / "begun") / COMPLETE).unlink()
    damaged = shutil.copytree(whole, tmp_path / "caches" / "damaged")
    for file in (damaged / "train" / "content").rglob("*"):
        if file.is_file():
            file.write_bytes(b"\0")
    assert len(KnownFiles.under(tmp_path, cache.encoder, **asked)) > 0
    for name in ("whole", "begun"):
        known = KnownFiles.under(tmp_path, cache.encoder, **asked)
        features, sources = known.take(cache["test"].content)
        assert np.array_equal(features, cache["test"].images)
        assert all(sources)
        shutil.rmtree(tmp_path / "caches" / name)
    assert len(KnownFiles.under(tmp_path / "nothing", cache.encoder, **asked)) == 0
    assert len(KnownFiles.under("s3://bucket/prefix", cache.encoder, **asked)) == 0


def test_what_is_damaged_or_gone_since_is_encoded_after_all(cache: Any, tmp_path: Path) -> None:
    shutil.copytree(cache.path, tmp_path / "caches" / "other")
    known = KnownFiles.under(tmp_path, cache.encoder, batch_size=4, dtype="float16")
    photos = sorted((root_of(cache) / "photos").rglob("*.png"))
    stream = ImageStream(Encoder.load("tiny", device="cpu"), batch_size=4, known=known)
    before = list(stream.encode(photos, workers=0))
    assert all(source == cache.name for batch in before for source in batch.caches)
    for split in cache.splits:
        for file in (tmp_path / "caches/other" / split / IMAGES / "c").rglob("*"):
            if file.is_file():
                file.write_bytes(b"\0")
    (batch, *_) = after = list(stream.encode(photos, workers=0))
    shutil.rmtree(tmp_path / "caches")
    after += list(stream.encode(photos, workers=0))
    assert batch.caches == [""] * 4
    for one, other in zip(before * 2, after, strict=True):
        assert np.array_equal(one.features, other.features)
        assert one.errors == other.errors == [""] * len(one)


def test_what_was_taken_is_told() -> None:
    from collections import Counter

    assert told(Counter({"a": 2, "b": 1000})) == "1,000 from b, 2 from a"
