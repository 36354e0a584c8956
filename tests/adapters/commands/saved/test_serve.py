from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import featcache
from adapters.fitting.fit import fit
from tests.pictures import draw_class_folders
from tests.processes import children, mistake, program

pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved run, beside its pictures."""
    home = tmp_path_factory.mktemp("serve")
    draw_class_folders(home / "photos", classes=2, per_class=12, seed=0)
    asked: dict[str, Any] = {"root": home, "workers": 0, "progress": False, "device": "cpu"}
    cache = featcache.extract("tiny", str(home / "photos"), **asked)
    return Path(fit("zero-shot", cache=cache, shots=1, out=home / "run", device="cpu").run)


@pytest.fixture
def server(head: Path) -> Iterator[subprocess.Popen[str]]:
    """`adapters serve`, which asks for a token."""
    words = [*program("adapters"), "adapters", "serve", str(head), "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "FEATCACHE_TOKEN": "secret"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as started:
        yield started
        started.kill()


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_and_leaves_nothing_behind(
    head: Path, server: subprocess.Popen[str], sent: signal.Signals, status: int
) -> None:
    assert server.stderr is not None
    told = server.stderr.readline()
    place = re.search(r"Serving run at (http://127\.0\.0\.1:\d+/)", told)
    assert place, told
    image = next((head.parent / "photos").rglob("*.png")).read_bytes()
    part = b'--b\r\ncontent-disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
    kind = {"content-type": "multipart/form-data; boundary=b", "authorization": "Bearer secret"}
    asked = urllib.request.Request(f"{place[1]}predict", part + image + b"\r\n--b--\r\n", kind)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert json.loads(answer.read())["items"][0]["predicted"]
    assert children(server.pid) == {}
    server.send_signal(sent)
    out, rest = server.communicate(timeout=60)
    assert server.returncode == status
    assert (out, rest) == ("", "interrupted\n")


def test_mistakes_are_a_line(head: Path) -> None:
    assert "cannot listen at 203.0.113.1, port 8000" in mistake("adapters", "serve", str(head), "--host", "203.0.113.1")
    assert "no run nothing" in mistake("adapters", "serve", "nothing", "--port", "0")
