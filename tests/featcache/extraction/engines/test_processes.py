"""One process for each device: the same bits, also when some of them are killed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

import featcache
from featcache.errors import ModelError
from featcache.extraction.engines import processes
from featcache.places.folder import Folder
from tests.begun import begin
from tests.conftest import ImageFolder
from tests.other_machines import slow_disk
from tests.processes import children

CODE = """
import sys
import featcache
if __name__ == "__main__":
    featcache.extract("tiny", sys.argv[1], name="c", devices="cpu,cpu", workers=0, on_error="skip")
"""


@pytest.fixture
def slow_run(
    root: Path, image_folder: ImageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[subprocess.Popen[str]]:
    """A run in two processes that takes some seconds, and has written a shard."""
    images = image_folder(per_class=16)
    (images / "class_0" / "broken.png").write_bytes(b"not an image")
    folder = begin(images, root, monkeypatch)
    script = tmp_path / "script.py"
    script.write_text(CODE)
    environment = {**os.environ, "PYTHONPATH": slow_disk(tmp_path / "slow", 0.1)}
    command = [sys.executable, str(script), str(images)]
    run = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not written(folder) and run.poll() is None:
        time.sleep(0.02)
    assert run.poll() is None, run.communicate()
    yield run
    with suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.communicate()


def written(folder: Folder) -> int:
    return sum(len(folder.names(f"{split}/state/c")) for split in ("train", "val", "test"))


def stations(run: subprocess.Popen[str]) -> list[int]:
    return [pid for pid, command in children(run.pid).items() if "spawn_main" in command]


def test_a_killed_process_loses_no_shard_and_no_bit_differs(slow_run: subprocess.Popen[str], tmp_path: Path) -> None:
    os.kill(stations(slow_run)[0], signal.SIGKILL)
    _, told = slow_run.communicate(timeout=60)
    assert slow_run.returncode == 0, told
    assert "the process for cpu 0 was ended (status -9); its shards go to the others" in told
    assert "49/49" in told
    images = str(tmp_path / "photos")
    calm = featcache.extract("tiny", images, name="calm", device="cpu", batch_size=4, workers=0, on_error="skip")
    disturbed = featcache.open("c")
    assert disturbed.digest == calm.digest
    for split in calm.splits:
        assert disturbed[split].images.tobytes() == calm[split].images.tobytes()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: two processes share it")
def test_two_processes_on_a_gpu_give_the_bits_of_one(root: Path, image_folder: ImageFolder) -> None:
    images, how = str(image_folder()), {"workers": 1, "batch_size": 4, "progress": False}
    one = featcache.extract("tiny", images, name="one", device="cuda:0", **how)  # type: ignore[arg-type]
    two = featcache.extract("tiny", images, name="two", devices="0,0", **how)  # type: ignore[arg-type]
    assert one.digest == two.digest
    for split in one.splits:
        assert one[split].images.tobytes() == two[split].images.tobytes()


def test_ctrl_c_ends_all_of_it(slow_run: subprocess.Popen[str]) -> None:
    every = stations(slow_run)
    assert len(every) == 2
    os.killpg(slow_run.pid, signal.SIGINT)
    _, told = slow_run.communicate(timeout=30)
    assert told.count("Traceback") == 1  # a script's own; a command line prints none
    assert gone(every)


def test_processes_end_when_the_one_that_started_them_is_killed(slow_run: subprocess.Popen[str]) -> None:
    every = stations(slow_run)
    slow_run.kill()
    slow_run.wait()
    assert gone(every)


def gone(processes: list[int]) -> bool:
    """Whether they end within some seconds."""
    until = time.monotonic() + 40
    while (alive := [pid for pid in processes if Path(f"/proc/{pid}").exists()]) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive


def test_a_script_without_a_guard_is_told_what_to_do(root: Path, image_folder: ImageFolder, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import featcache\nfeatcache.extract('tiny', {str(image_folder())!r}, devices='cpu,cpu', workers=0)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "must do so under `if __name__ == '__main__':`" in done.stderr.splitlines()[-1]


class UnsendableError(Exception):
    """An error that cannot be made again from what it prints."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)


def test_an_error_comes_back_with_where_it_was_raised() -> None:
    for error in (UnsendableError(3, "no such thing"), ValueError("no such thing")):
        try:
            raise error
        except Exception as raised:
            sent = pickle.loads(pickle.dumps(processes._portable(raised)))
        told = "".join([str(sent), *getattr(sent, "__notes__", [])])
        assert "no such thing" in told
        assert "test_processes.py" in told


def test_devices_that_are_not_there_are_refused(root: Path) -> None:
    for devices, told in (("all", "this machine has no CUDA GPU"), ("cpu,7", "device 'cuda:7' was asked for")):
        with pytest.raises(ModelError, match=told):
            featcache.extract("tiny", "digits", devices=devices)
