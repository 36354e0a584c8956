"""The long commands on a small root, what they give, and what they must not leave behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import featcache
from featcache.cache.layout import BAD, SEALS
from featcache.cache.text_sets import TextIndex
from featcache.places.lock import OWNER
from featcache.verification.verify import verify_store

SAVING = ("extract", "text", "fit", "search", "bench")
"""Commands that keep something."""
READING = ("verify", "predict", "eval")
_VARIES = ("seconds", "created", "finished", "since", "writer", "seal", "beside", "trainings", "cells")
"""Times and processes, and how much of a search or bench was left to do."""


class Work:
    """Commands on one root.

    Attributes:
        root: Where caches, runs, benches and searches are.
        photos: The images.
    """

    def __init__(self, root: Path, photos: Path) -> None:
        self.root, self.photos = root, photos
        root.mkdir(parents=True, exist_ok=True)

    @property
    def run(self) -> str:
        """The folder of the saved run."""
        return str(self.root / "run")

    def words(self, name: str, *, workers: int = 0) -> tuple[str, ...]:
        """What is typed."""
        templates = self.photos.with_name("mine.txt")
        templates.write_text("a drawing of a {}.\n")
        photos, root = self.photos, self.root
        encode = f"--batch-size 4 --workers {workers} --on-error skip --views 1"
        grid = "--shots 1,2 --seeds 1,2"
        how = {
            "extract": f"--model tiny --dataset {photos} --name c {encode}",
            "text": f"c --templates {templates}",
            "verify": "c",
            "fit": f"tip --shots 2 --out {self.run} --cache c",
            "search": f"tip --alpha 0:2:1 {grid} --out {root / 'search'} --cache c",
            "bench": f"--methods tip {grid} --out {root / 'bench'} --cache c",
            "predict": f"{self.run} {photos / 'class_0'}",
            "eval": self.run,
        }
        program = "featcache" if name in ("extract", "text", "verify") else "adapters"
        return (program, name, *how[name].split(), "--device", "cpu", "--root", str(root))

    def content(self) -> dict[str, Any]:
        """All that is kept, but for times."""
        found: dict[str, Any] = {}
        if (self.root / "caches").exists():
            found |= content_of(featcache.open("c", self.root))
        for name in ("run", "search", "bench"):
            for path in sorted((self.root / name).rglob("*")):
                if path.suffix == ".json":
                    text = path.read_text().replace(str(self.root), "ROOT")
                    found[f"{path.relative_to(self.root)}"] = _steady(json.loads(text))
                elif path.suffix == ".safetensors":
                    found[f"{path.relative_to(self.root)}"] = path.read_bytes()
        return found

    def left_behind(self) -> list[str]:
        """What nothing names: files half written, locks, folders of prompts that no index knows."""
        left = [str(path) for path in self.root.rglob("*.partial")] + [str(path) for path in self.root.rglob(OWNER)]
        for index in self.root.rglob("text/index.json"):
            named = {entry["group"] for entry in json.loads(index.read_text())["sets"].values()}
            there = {f"text/{path.name}" for path in index.parent.iterdir() if path.is_dir()}
            left += sorted(there - named)
        return left


def extract(photos: Path, root: Path) -> featcache.Cache:
    """The same cache as by the command, in this process."""
    return featcache.extract(
        "tiny",
        str(photos),
        root=root,
        name="c",
        views=1,
        batch_size=4,
        workers=0,
        on_error="skip",
        device="cpu",
        progress=False,
    )


def content_of(cache: featcache.Cache, *, written: bool = False) -> dict[str, Any]:
    """All of a cache that must not change; of one that is being written what stands there, else all of it is sound."""
    found: dict[str, Any] = {"digest": cache.digest, "splits": cache.splits}
    for split in cache.splits:
        part, group = cache[split], cache.folder.group("r")
        for name, array in group[split].members():  # type: ignore[union-attr]
            if name == SEALS:  # of shards, which are cut by the speed that was measured; they are verified below
                continue
            found[f"{split}/{name}"] = array[:].tobytes()  # type: ignore[index, union-attr]
        assert part.ids is not None
    for name in TextIndex(cache.folder).names:
        found[f"text {name}"] = cache.text_set(name).features.tobytes()
    found["bad"] = [cache.folder.read_json(f"{BAD}/{name}") for name in cache.folder.names(BAD)]
    assert written or verify_store(cache.folder).problems == []
    return found


def _steady(content: Any) -> Any:
    """JSON without what differs from run to run."""
    if isinstance(content, dict):
        return {key: _steady(value) for key, value in content.items() if not any(word in key for word in _VARIES)}
    return [_steady(value) for value in content] if isinstance(content, list) else content
