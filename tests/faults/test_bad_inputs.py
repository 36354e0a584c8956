"""Whatever is given ends soon and in one line, or in a row that is recorded as skipped."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from featcache.datasets.load import load_dataset
from featcache.errors import FeatcacheError
from featcache.images.decode import decode
from featcache.images.headers import why_unreadable
from tests.faults.bad_inputs import DATASETS, good, images, put
from tests.processes import program, run

SECONDS = 10
HANGS = 150  # seconds after which a command hangs, however busy the machine is
BYTES = int(1.5 * 2**30)


def test_there_are_as_many_as_promised() -> None:
    assert len(images()) + len(DATASETS) >= 120


def test_a_folder_of_bad_images_is_encoded_as_far_as_it_goes(root: Path, tmp_path: Path) -> None:
    bad = images()
    folder = put(tmp_path / "set", {**good(), **{f"a/{name}": content for name, content in bad.items()}})
    words = ["featcache", "extract", "--model", "tiny", "--dataset", str(folder), "--on-error", "skip", "--json"]
    done = run(*words, "--workers", "1", "--check", "--device", "cpu")
    told = json.loads(done.stdout)
    assert told["encoded"] + told["skipped"] == len(bad) + 8 == sum(told["rows"].values())
    readable = {name for name in bad if _decodes(bad[name])}
    assert told["skipped"] == len(bad) - len(readable)
    assert "\x1b" not in done.stderr
    listed = (root / "unreadable/set-tiny.csv").read_text(encoding="utf-8-sig")
    assert "a/empty.jpg,train,the file is empty" in listed.replace(",val,", ",train,").replace(",test,", ",train,")


def _decodes(content: bytes) -> bool:
    try:
        decode(content)
    except FeatcacheError:
        return False
    return True


@pytest.mark.parametrize("name", DATASETS)
def test_each_data_set_is_listed_or_refused_in_a_line(name: str, root: Path, tmp_path: Path) -> None:
    given = DATASETS[name](tmp_path / "set")
    signal.alarm(SECONDS)  # ends the test's process: a hang is no failure that can be caught
    told = _listed_or_refused(str(given))
    signal.alarm(0)
    assert "" not in told
    assert not any("\n" in line or len(line) > 1000 for line in told)


def _listed_or_refused(given: str) -> list[str]:
    """The line that refuses a data set; or of each image of it why it is unreadable, or that it is well."""
    try:
        dataset = load_dataset(given)
    except FeatcacheError as error:
        return [str(error)]
    ids = [image for split in dataset.splits.values() for image in split.ids]
    return [why_unreadable(dataset.reader, image) or "well" for image in ids]


@pytest.mark.long
@pytest.mark.parametrize("name", [*DATASETS, *(f"image:{place}" for place in range(len(images())))])
def test_each_ends_in_time_and_memory_as_a_command(name: str, root: Path, tmp_path: Path) -> None:
    if name in DATASETS:
        given = DATASETS[name](tmp_path / "set")
    else:
        image, content = list(images().items())[int(name.removeprefix("image:"))]
        given = put(tmp_path / "set", {**good(), f"a/{image}": content})
    words = ["featcache", "extract", "--model", "tiny", "--dataset", str(given), "--device", "cpu"]
    status, told, seconds, most = _measured([*program("featcache"), *words, "--on-error", "skip"], tmp_path)
    assert status in (0, 2), told
    assert "Traceback" not in told
    assert seconds < SECONDS
    assert most < BYTES
    if status:
        assert told.splitlines()[-1].startswith("error: ")


def _measured(command: list[str], folder: Path) -> tuple[int, str, float, int]:
    """Status of a command, what it told on standard error, the seconds that it computed, and its most bytes."""
    with (folder / "told").open("wb") as told:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told, preexec_fn=_bounded)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    lines = (folder / "told").read_text(errors="replace")
    return process.returncode, lines, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def _bounded() -> None:
    signal.alarm(HANGS)
    resource.setrlimit(resource.RLIMIT_DATA, (4 * BYTES, 4 * BYTES))
