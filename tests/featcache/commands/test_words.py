from __future__ import annotations

from featcache.commands.words import classes, counts, encoder, split_origin


def test_facts_in_words() -> None:
    assert counts({"train": 1078, "test": 360}) == "train 1,078, test 360"
    assert encoder({"architecture": "/models/mine", "pretrained": "local"}) == "mine"
    assert encoder({"architecture": "ViT-B-16", "pretrained": "openai"}) == "ViT-B-16 (openai)"
    assert classes(["a", "b"]) == "2: a, b"
    assert classes(list("abcdef")) == "6: a, b, c, d, e, …"
    assert split_origin({"from": "its own folders"}) == "its own folders"
