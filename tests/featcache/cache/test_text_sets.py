"""Prompt sets in a cache's folder, and the weights that follow from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featcache.cache.text_sets import EncodedPrompts, TextFeatures, TextIndex
from featcache.errors import CacheError
from featcache.places.folder import Folder

WORDS = ("a", "b")


def test_a_reader_that_has_the_old_index_reads_the_new_set(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    TextIndex(folder).write("z", [["a z."], ["b z."]], encoded(1.0), default=True)
    reader = TextIndex(folder)
    TextIndex(folder).write("z", [["a new z."], ["b z."]], encoded(2.0), default=True)
    text = reader.read(WORDS)
    assert (text.prompts[0], text.features[0, 0, 0]) == (("a new z.",), 2.0)


def test_weights_are_normalised_averaged_normalised_with_prompts_left_out_where_there_are_none() -> None:
    features = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    features[1, 2] = np.nan
    text = TextFeatures("t", features, ("a", "b"), (("1", "2", "3"), ("1", "2")), 100.0, None)
    for row, prompts in ((0, 3), (1, 2)):
        unit = features[row, :prompts] / np.linalg.norm(features[row, :prompts], axis=1, keepdims=True)
        mean = unit.mean(axis=0)
        np.testing.assert_allclose(text.weights()[row], mean / np.linalg.norm(mean), atol=1e-6)


def encoded(value: float) -> EncodedPrompts:
    return EncodedPrompts(np.full((2, 1, 3), value, np.float32), 100.0, None, "sha")


def test_a_set_is_replaced_in_one_step_and_the_default_comes_first(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    index = TextIndex(folder)
    index.write("z", [["a z."], ["b z."]], encoded(1.0), default=False)
    index.write("m", [["a m."], ["b m."]], encoded(2.0), default=False)
    assert (index.default, index.names) == ("z", ("z", "m"))  # the first one, until another is made it
    index.write("m", [["an m."], ["b m."]], encoded(3.0), default=True)
    again = TextIndex(folder)
    assert again.names == ("m", "z")
    assert again.has("m", [["an m."], ["b m."]])
    assert not again.has("m", [["a m."], ["b m."]])
    assert again.read(WORDS).features.tolist() == [[[3.0] * 3]] * 2
    assert again.read(WORDS, "z").prompts == (("a z.",), ("b z.",))
    assert [name[:2] for name in folder.names("text")] == ["in", "m-", "z-", "za"]  # nothing is left of the old one
    assert again.summary()[0] == {"name": "m", "prompts": 2, "example": "an m.", "logit_scale": 100.0}
    (tmp_path / "text" / "m-of-a-killed-run").mkdir()
    again.write("m", [["an m."], ["b m."]], encoded(3.0), default=True)
    assert [name[:2] for name in folder.names("text")] == ["in", "m-", "z-", "za"]
    again.forget("m")
    assert TextIndex(folder).names == ("z",)
    with pytest.raises(CacheError, match=r"no prompt set 'm'.*there are: z; .*featcache text"):
        again.read(WORDS, "m")
