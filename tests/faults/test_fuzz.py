"""Whatever a coverage-guided fuzzer makes of a manifest, a config or a header of safetensors: library errors only."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import adapters
import featcache
from tests.faults.conftest import Faults
from tests.faults.work import Work

SECONDS = {False: 3, True: 200}
"""Of each of three readers, in the short form and in the long one, which has ten minutes in all."""
SLOWEST = 25
"""Seconds after which a reader hangs."""


@pytest.mark.parametrize("name", ["manifest", "config", "weights"])
def test_a_fuzzed_reader_raises_its_own_errors(name: str, calm: Work, tmp_path: Path, faults: Faults) -> None:
    if find_spec("atheris") is None:
        pytest.skip("atheris is not installed")
    folder, corpus = tmp_path / "folder", tmp_path / "corpus"
    corpus.mkdir()
    cache = featcache.open("c", root=calm.root)
    if name == "manifest":
        shutil.copytree(cache.path, folder)
        sample = folder / "manifest.json"
    else:
        head = adapters.ZeroShot().fit(cache["train"].images[:3], cache["train"].labels[:3], text=cache.text)
        head.save(tmp_path / "head")
        folder.mkdir()
        sample = tmp_path / "head" / ("config.json" if name == "config" else "model.safetensors")
    shutil.copy(sample, corpus / "sound")
    how = [f"-max_total_time={SECONDS[faults.long]}", f"-seed={faults.seed + 1}", f"-timeout={SLOWEST}"]
    how += ["-rss_limit_mb=3000", f"-artifact_prefix={tmp_path}/", "-max_len=16384", "-print_final_stats=1"]
    words = [sys.executable, "-m", "tests.faults.fuzz", name, str(folder), str(corpus), *how]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    (ran,) = re.findall(r"number_of_executed_units: (\d+)", done.stderr)
    assert int(ran) > 1
    faults.tell(f"{int(ran):,} inputs of a fuzzed {name} in {SECONDS[faults.long]} s")
