"""Extract, grow, fit and predict under faults, hour after hour in one process: its size and open files stay flat."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

import pytest

import featcache
from adapters.fitting.fit import fit
from adapters.predicting.predictor import Predictor
from featcache.errors import FeatcacheError
from featcache.extraction.add_text import add_prompt_set
from tests.faults.conftest import Faults
from tests.faults.shim import CHANGING, Fault, Shim
from tests.faults.work import content_of, extract

WARM = 5
"""Rounds after which nothing more should be allocated for good."""
GROWTH = 24
"""MB by which the process may vary."""


def megabytes() -> float:
    """Resident size, without what the allocator keeps for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    return resident * os.sysconf("SC_PAGE_SIZE") / 2**20


def files() -> int:
    return len(os.listdir("/proc/self/fd"))


def one_round(photos: Path, root: Path, templates: Path) -> list[str]:
    """Extract, grow by a prompt set, fit, predict; what was predicted."""
    cache = extract(photos, root)
    add_prompt_set(cache.folder, str(templates), name="grown", default=True, device="cpu")
    fit("tip", cache=cache, shots=2, out=root / "run", device="cpu")
    predictor = Predictor.load(root / "run", root=str(root), device="cpu")
    found = predictor.predict([photos / "class_0" / "000.png", photos / "class_2" / "001.png"])
    return [str(item.predicted) for item in found]


@pytest.mark.long
def test_soak(
    photos: Path, tmp_path: Path, faults: Faults, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    templates, root = tmp_path / "mine.txt", tmp_path / "root"
    templates.write_text("a drawing of a {}.\n")
    expected, content = one_round(photos, root, templates), content_of(featcache.open("c", root))
    minutes = request.config.getoption("--soak")
    end, rounds, refused = time.monotonic() + 60 * minutes, 0, 0
    sizes, opened = list[float](), list[int]()
    while time.monotonic() < end or rounds < 2:
        if faults.rng.random() < 0.5:
            shutil.rmtree(root)
        error = faults.rng.choice([errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
        fault = Fault(str(root), at=faults.rng.randint(1, 300), error=error, kinds=(*CHANGING, "fsync"))
        with suppress(FeatcacheError, OSError), Shim(fault).standing():
            one_round(photos, root, templates)
            refused -= 1
        refused, rounds = refused + 1, rounds + 1
        assert one_round(photos, root, templates) == expected
        assert content_of(featcache.open("c", root)) == content
        sizes.append(megabytes())
        opened.append(files())
    if len(sizes) > 2 * WARM:
        assert max(opened[WARM:]) <= max(opened[:WARM])
        assert sizes[-1] - sizes[WARM] < GROWTH, sizes
    span = f"{sizes[0]:.0f} to {sizes[-1]:.0f} MB, {opened[0]} to {opened[-1]} open files"
    faults.tell(f"{rounds} rounds, {refused} of them refused midway; {span}")
