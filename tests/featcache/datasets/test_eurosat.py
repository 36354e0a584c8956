"""The real EuroSAT: the archive as torchvision downloads it, and CoOp's split beside it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from PIL import Image

from featcache.datasets.load import load_dataset
from tests.pictures import listing_of

SHARED = os.environ.get("FEATCACHE_SHARED")
pytestmark = pytest.mark.skipif(SHARED is None, reason="FEATCACHE_SHARED is not set: no EuroSAT at hand")
ROOT = Path(SHARED or "") / "data" / "eurosat"


def test_rows_are_those_of_the_split_file() -> None:
    dataset = load_dataset("EuroSAT", data_root=ROOT)
    split = json.loads((ROOT / "split_zhou_EuroSAT.json").read_text())
    assert {name: len(part) for name, part in dataset.splits.items()} == {"train": 13500, "val": 5400, "test": 8100}
    for name, part in dataset.splits.items():
        assert list(part.ids) == [row[0] for row in split[name]]
        assert part.labels.tolist() == [row[1] for row in split[name]]
        assert [dataset.class_names[y] for y in part.labels] == [row[2] for row in split[name]]


def test_archive_alone_gives_a_seeded_split_with_the_same_classes(tmp_path: Path) -> None:
    (tmp_path / "EuroSAT.zip").symlink_to(ROOT / "EuroSAT.zip")
    dataset = load_dataset("eurosat", data_root=tmp_path)
    assert {name: len(part) for name, part in dataset.splits.items()} == {"train": 13500, "val": 5400, "test": 8100}
    assert dataset.class_names == load_dataset("eurosat", data_root=ROOT).class_names
    given = load_dataset("eurosat", data_root=tmp_path, split_file=ROOT / "split_zhou_EuroSAT.json")
    zipped = load_dataset("eurosat", data_root=ROOT / "EuroSAT.zip")
    assert listing_of(given) == listing_of(zipped) != listing_of(dataset)


def _size(args: tuple[object, str]) -> tuple[int, int]:
    reader, image = args
    return Image.open(io.BytesIO(reader.read(image))).size  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_images_are_read_in_worker_processes(method: str) -> None:
    dataset = load_dataset("eurosat", data_root=ROOT).limited(20, seed=0)
    dataset.reader.read(dataset.splits["train"].ids[0])  # the parent's handle is open when workers fork
    jobs = [(dataset.reader, image) for image in dataset.splits["train"].ids]
    with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
        assert set(pool.map(_size, jobs)) == {(64, 64)}


def test_listing_is_quick_and_imports_no_torch() -> None:
    code = (
        "import sys, time; from featcache.datasets.load import load_dataset; start = time.perf_counter();"
        f"load_dataset('eurosat', data_root={str(ROOT)!r}); print(time.perf_counter() - start);"
        "assert not {'torch', 'torchvision', 'open_clip', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=Path(__file__).parents[3])
        for _ in range(3)
    ]
    assert min(float(run.stdout) for run in runs) < 1.0
