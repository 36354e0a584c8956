from __future__ import annotations

from featcache.cache.catalogue import Listed
from featcache.commands.list import caches_json, caches_page
from tests.pages import assert_all_is_told, texts


def listed(name: str, finished: str | None) -> Listed:
    manifest = {
        "identity": {
            "dataset": {"name": "a data set of " + name},
            "encoder": {"architecture": "ViT-H-14-378-quickgelu", "pretrained": "laion2b_s34b_b88k"},
        },
        "plan": {"rows": {"train": 1000, "test": 234}},
        "provenance": {},
        "digest": "d" * 64,
    }
    return Listed(name, f"/nowhere/{name}", manifest, finished)


def test_all_is_told_at_any_width() -> None:
    broken = Listed(
        "torn", "/nowhere/torn", {}, None, "manifest.json is not valid JSON: type `featcache extract` again"
    )
    caches = [listed("x" * 50, "2026-01-01T00:00:00+00:00"), listed("begun", None), broken]
    page = caches_page(caches, "/scratch/" + "y" * 60)
    assert_all_is_told(page)
    assert {"1,234", "0 of 1,234 done", "ViT-H-14-378-quickgelu (laion2b_s34b_b88k)"} <= set(texts(page))
    assert [cache.get("problem") for cache in caches_json(caches)["caches"]] == [None, None, broken.problem]


def test_an_empty_root_says_what_to_type() -> None:
    assert list(caches_page([], "/home").lines()) == [
        "No caches under /home. Make one: featcache extract --model tiny --dataset digits"
    ]
