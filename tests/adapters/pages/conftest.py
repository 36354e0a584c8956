"""Pages of small results on a cache in memory, whose names are hostile."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from adapters.auditing.audit import audit
from adapters.auditing.page import audit_html
from adapters.bench.benchmark import run as bench
from adapters.bench.page import bench_html
from adapters.fitting.fit import fit
from adapters.html.pictures import Pictures
from adapters.pages.run import run_page
from adapters.search.search import run as search
from adapters.search.shown.page import search_html
from tests.adapters.conftest import FakeCache, FakeSplit, FakeText

EVIL = "<script>window.pwned=1</script>"
NAMES = ("annual crop", EVIL, "\"river\" & 'lake'", "sea")


class Squares:
    """A data set whose images have one colour each; those whose id ends in `5.jpg` are gone."""

    def read(self, image_id: str) -> np.ndarray:
        if image_id.endswith("5.jpg"):
            raise FileNotFoundError(image_id)
        colour = np.random.default_rng(len(image_id) + sum(map(ord, image_id))).integers(0, 255, 3)
        return np.broadcast_to(colour.astype(np.uint8), (64, 48, 3)).copy()

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        return iter([0 for _ in ids])


def cache_of(names: tuple[str, ...], rows: dict[str, int], *, noise: float = 0.9, seed: int = 7) -> FakeCache:
    """A cache in memory: so many rows a split, of classes that overlap, and twins on both sides."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(names), 16))
    parts = {}
    for split, count in rows.items():
        labels = rng.permutation(np.arange(count) % len(names))
        images = (centres[labels] + noise * rng.normal(size=(count, 16))).astype(np.float32) * 3
        ids = np.array([f"{split}/<b>{row}.jpg" for row in range(count)])
        parts[split] = FakeSplit(images, labels, ids, np.ones(count, dtype=bool), None)
    if "train" in parts and "test" in parts:
        parts["test"].all_images[:2] = parts["train"].all_images[:2]
        parts["test"].labels[:2] = parts["train"].labels[:2]
    rough = (centres + 1.2 * rng.normal(size=centres.shape)).astype(np.float32)
    return FakeCache(parts, {"plain": FakeText(rough, names)})


@pytest.fixture(scope="module")
def evil_cache() -> FakeCache:
    return cache_of(NAMES, {"train": 80, "val": 60, "test": 160})


@pytest.fixture(scope="module")
def saved(evil_cache: FakeCache, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head that was fitted on it, calibrated, with an alpha that was chosen."""
    out = tmp_path_factory.mktemp("runs") / "tip-<i>"
    fit("tip", cache=evil_cache, shots=4, seed=1, select="val", calibrate=True, out=out, coverage=0.9)
    return out


@pytest.fixture(scope="module")
def pages(evil_cache: FakeCache, saved: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of every kind of page."""
    folder = tmp_path_factory.mktemp("pages")
    benched = bench("clip,tip", caches=[evil_cache], shots=[1, 2], seeds=[1, 2], out=folder / "bench")
    searched = search(
        "proker", {"beta": (0.5, 1.0)}, cache=evil_cache, shots=[2, 4], seeds=[1, 2], out=folder / "search"
    )
    found = audit(evil_cache).to_json()
    made = {
        "run": run_page(saved, cache=evil_cache, pictures=Pictures(Squares()))[0],
        "bench": bench_html(json.loads(json.dumps(benched.to_json()))),
        "search": search_html(json.loads(json.dumps(searched.to_json()))),
        "audit": audit_html(json.loads(json.dumps(found)), Pictures(Squares())),
    }
    for name, page in made.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in made}
