from __future__ import annotations

from pathlib import Path
from typing import Any

import featcache
from featcache.cache.catalogue import locate
from featcache.commands.info import cache_json, cache_page
from tests.conftest import ImageFolder
from tests.pages import assert_all_is_told, texts

INFO: dict[str, Any] = {
    "name": "photos",
    "path": "/scratch/" + "x" * 60,
    "complete": None,
    "unlabelled": {},
    "identity": {
        "dataset": {"name": "photos", "class_names": ["Highway or Road", "b", "c", "d", "e", "f"]},
        "encoder": {"architecture": "/models/" + "y" * 60, "pretrained": "local", "dim": 128},
        "dtype": "float16",
        "views": {"count": 4, "split": "train"},
        "batch_size": 32,
    },
    "plan": {"rows": {"train": 1000}, "rows_per_shard": 896},
    "provenance": {"split": {"from": "CoOp", "val": {"fraction_of_train": 0.2, "seed": 1}}},
    "request": {"images": {"location": "/data/" + "z" * 60 + ".zip"}},
    "prompt_sets": [{"name": name, "prompts": 30, "example": "a photo of [a] {}."} for name in ("coop", "own")],
    "digest": "d" * 64,
    "classes": [{"label": f"folder_{name}", "name": name, "prompt": f"a photo of {name}."} for name in "abc"],
    "unreadable": [{"id": f"class_0/{i}.jpg", "reason": "the file is empty"} for i in range(23)],
}


def test_all_is_told_at_any_width() -> None:
    page = cache_page(INFO)
    assert_all_is_told(page)
    told = {"not yet", "CoOp; val is 20 % of train, seed 1", "and 3 more (--json lists all)", "prompts: own"}
    assert told <= set(texts(page))


def test_it_counts_rows_of_classes_and_splits(root: Path, image_folder: ImageFolder) -> None:
    featcache.extract("tiny", str(image_folder(classes=2, per_class=10)), workers=0, progress=False)
    found = cache_json(locate("photos-tiny"))
    assert [each["rows"] for each in found["classes"]] == [{"train": 5, "val": 2, "test": 3}] * 2
    assert found["unlabelled"] == {}
    assert {"rows of class", "class 0", "class 1"} <= set(texts(cache_page(found)))
