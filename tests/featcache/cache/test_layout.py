"""The layout in code is the one of docs/format.md, and no other file spells it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import featcache
from featcache.cache import layout
from featcache.cache.plan import Shard, ShardPlan
from featcache.places.folder import array_in
from tests.conftest import ImageFolder

HERE = Path(__file__).parents[3]
PLAN = ShardPlan(rows={"train": 10}, batch_size=2, rows_per_shard=4)


def test_arrays_are_stored_as_the_page_says(root: Path, image_folder: ImageFolder) -> None:
    how = {"views": 1, "keep": "pre-projection", "workers": 0, "device": "cpu", "progress": False}
    cache = featcache.extract("tiny", str(image_folder()), **how)  # type: ignore[arg-type]
    group, page = cache.folder.group("r"), (HERE / "docs/format.md").read_text()
    told = re.findall(r"^    (<split>/\w+|text/<set>-<token>/features) +\(([^)]+)\) +(\w+)(.*)$", page, re.MULTILINE)
    assert len(told) == 10
    text = next(name for name in cache.folder.names("text") if "-" in name)
    for name, shape, dtype, words in told:
        array = array_in(group, name.replace("<split>", "train").replace("<set>-<token>", text))
        assert (array.ndim, str(array.dtype)) == (len(shape.rstrip(",").split(",")), dtype)
        fill = re.search(r"fill (-1|NaN|0)|padded with (zero)|(NaN) where", words)
        assert fill, words
        expected = next(filter(None, fill.groups())).lower().replace("zero", "0")
        assert np.array_equal(array.fill_value, float(expected), equal_nan=True), name
    for name in (layout.MANIFEST, layout.COMPLETE, layout.TEXT_INDEX, layout.ROOT_GROUP):
        assert cache.folder.exists(name)
        assert f" {name} " in page


def test_a_shard_is_one_file_of_an_array(root: Path, image_folder: ImageFolder) -> None:
    cache = featcache.extract("tiny", str(image_folder()), workers=0, device="cpu", progress=False)
    plan = ShardPlan.from_manifest(cache.manifest)
    for shard in plan.shards("train"):
        for name in (layout.IMAGES, layout.STATE):
            assert cache.folder.exists(layout.chunk(shard, name, plan))


@pytest.mark.parametrize("split", ["train", "my-split-2"])
def test_the_file_of_unreadable_images_names_its_shard(split: str) -> None:
    plan = ShardPlan(rows={split: 10}, batch_size=2, rows_per_shard=4)
    for shard in plan.shards(split):
        folder, name = layout.bad_file(shard).split("/")
        assert (folder, layout.shard_of(name, plan)) == (layout.BAD, shard)
    assert layout.chunk(Shard(split, 8, 10), layout.VIEWS, plan) == f"{split}/views/c/2/0/0"
    for other in ("notes.json", f"{split}-1.json", f"{split}-12.json", "other-0.json", "-.json"):
        assert layout.shard_of(other, plan) is None


def test_no_other_file_spells_a_name() -> None:
    names = re.compile(r"(manifest|complete|index|zarr)\.json|/(images|views|seals|state|ids|labels|features)\b|\bbad/")
    for file in sorted((HERE / "featcache").rglob("*.py")):
        if file.name == "layout.py":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                assert not names.search(node.value), f"{file}:{node.lineno} spells {node.value!r}"
