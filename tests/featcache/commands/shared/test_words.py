from __future__ import annotations

import pytest

from featcache.commands.shared import words
from featcache.commands.shared.words import classes, counts, decoded, encoder, left_out_words, split_origin


def test_facts_in_words() -> None:
    assert counts({"train": 1078, "test": 360}) == "train 1,078, test 360"
    assert encoder({"architecture": "/models/mine", "pretrained": "local"}) == "mine"
    assert encoder({"architecture": "ViT-B-16", "pretrained": "openai"}) == "ViT-B-16 (openai)"
    assert classes(["a", "b"]) == "2: a, b"
    assert classes(list("abcdef")) == "6: a, b, c, d, e, …"
    assert split_origin({"from": "its own folders"}) == "its own folders"


def test_fast_decoding_is_told_with_its_cosine() -> None:
    assert decoded({}) == []
    near = {"mean": 0.99871, "least": 0.99, "images": 18}
    ((name, told),) = decoded({"cosine_to_exact": near})
    assert name == "decode fast"
    assert told == "cosine to exact decoding 0.99871 on average, 0.99000 at least, over 18 images"


def test_what_is_left_out_is_told_by_endings_and_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = {".svg": 3, "in no class folder": 1200, ".pdf": 12, ".": 1, ".heic": 2}
    monkeypatch.setattr(words, "reads_heif", lambda: True)
    told = left_out_words({"provenance": {"left_out": counted}})
    assert told == ["1,200 images in no class folder", "1 without an ending, 2 .heic, 12 .pdf, 3 .svg"]
    monkeypatch.setattr(words, "reads_heif", lambda: False)
    assert left_out_words({"provenance": {"left_out": counted}})[1].endswith(
        "3 .svg; pip install 'featcache[heif]' lets .heic be read"
    )
    assert left_out_words({"provenance": {}}) == []


def test_the_first_of_what_is_left_out_are_named() -> None:
    paths = {"in no class folder": ["a.png"], ".pdf": ["cat/a.pdf", "cat/b.pdf"], ".svg": ["cat/c.svg", "dog/d.svg"]}
    counted = {why: len(named) for why, named in paths.items()}
    told = left_out_words({"provenance": {"left_out": counted, "left_out_paths": paths}})
    assert told == ["1 image in no class folder: a.png", "2 .pdf, 2 .svg: cat/a.pdf, cat/b.pdf, cat/c.svg, …"]
