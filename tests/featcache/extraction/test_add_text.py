"""Prompt sets are encoded with the cache's own encoder, and images left alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import featcache
from featcache.encoders.encoder import Encoder
from featcache.errors import CacheError, CacheMismatch
from featcache.extraction.add_text import add_prompt_set
from tests.conftest import ImageFolder
from tests.manifests import made_from


@pytest.fixture
def cache(root: Path, image_folder: ImageFolder) -> featcache.Cache:
    return featcache.extract("tiny", str(image_folder()), workers=0, device="cpu", progress=False)


def add(cache: featcache.Cache, templates: Path | str, name: str | None = None, default: bool = True) -> None:
    add_prompt_set(cache.folder, str(templates), name=name, default=default, device="cpu")


def test_features_are_raw_and_in_the_order_of_classes_and_templates(cache: featcache.Cache, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("a {} here\nsome {} there\n")
    add(cache, tmp_path / "two.txt")
    encoder = Encoder.load("tiny", device="cpu")
    expected = encoder.encode_texts(["a class 1 here", "some class 1 there"])
    np.testing.assert_allclose(cache.text.features[1], expected, atol=1e-5)
    assert cache.text.prompts[1] == ("a class 1 here", "some class 1 there")
    assert cache.text.logit_scale == pytest.approx(encoder.logit_scale)


def test_sets_live_side_by_side_and_replacing_one_leaves_images_alone(cache: featcache.Cache, tmp_path: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in Path(cache.path, "train").rglob("*") if file.is_file()}
    first = cache.text.name
    (tmp_path / "mine.txt").write_text("a {} here\n")
    add(cache, tmp_path / "mine.txt", default=False)
    assert (cache.text.name, set(cache.prompt_sets)) == (first, {first, "mine"})
    old = cache.text_set("mine").features
    (tmp_path / "mine.txt").write_text("one more {}\n")
    add(cache, tmp_path / "mine.txt")
    assert cache.text.name == "mine"
    assert not np.array_equal(cache.text_set("mine").features, old)
    assert len([name for name in cache.folder.names("text") if name.startswith("mine-")]) == 1, "the old set is left"
    assert before == {file: file.stat().st_mtime_ns for file in Path(cache.path, "train").rglob("*") if file.is_file()}


def test_prompts_per_class_as_cupl_has_them(cache: featcache.Cache, tmp_path: Path) -> None:
    prompts = {"class 0": ["a zero."], "class 1": ["a one.", "the one."], "class 2": ["a two."]}
    (tmp_path / "cupl.json").write_text(json.dumps(prompts))
    add(cache, tmp_path / "cupl.json")
    assert cache.text.prompts == (("a zero.",), ("a one.", "the one."), ("a two.",))
    assert np.isnan(cache.text.features[0, 1]).all()
    assert np.isfinite(cache.text.weights()).all()


def test_an_unknown_set_is_refused(cache: featcache.Cache) -> None:
    with pytest.raises(CacheError, match=r"no prompt set 'other'.*featcache text"):
        cache.text_set("other")


def test_text_of_other_weights_is_refused(cache: featcache.Cache, tmp_path: Path) -> None:
    made_from(cache, lambda identity: identity["encoder"].update(weights_sha256="0" * 64))
    (tmp_path / "t.txt").write_text("a {}\n")
    with pytest.raises(CacheMismatch, match=r"this cache's are 0+; if it has moved, type --model DIR"):
        add(cache, tmp_path / "t.txt")
