"""Caches in a bucket, against a real S3 server on loopback: as on disk, also with faults on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest
import s3fs

import featcache
from featcache.errors import CacheError
from featcache.extraction.add_text import add_prompt_set
from featcache.places import lock
from featcache.places.folder import Folder
from featcache.verification.verify import verify
from tests.conftest import ImageFolder

ROOT = "s3://bucket/some/root"
HERE = Path(__file__).parents[3]

StartServer = Callable[..., str]


@pytest.fixture
def start_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StartServer]:
    """Starts a server with a bucket, and points this process and its children to it."""
    running = []

    def start(*faults: int) -> str:
        words = [sys.executable, "-m", "tests.s3_server", *map(str, faults)]
        server = subprocess.Popen(words, cwd=HERE, stdout=subprocess.PIPE, text=True)
        running.append(server)
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        for name, value in (
            ("AWS_ENDPOINT_URL", url),
            ("AWS_ACCESS_KEY_ID", "somebody"),
            ("AWS_SECRET_ACCESS_KEY", "a-secret"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        boto3.client("s3").create_bucket(Bucket="bucket")
        return url

    yield start
    for server in running:
        server.kill()
        server.communicate()
    s3fs.S3FileSystem.clear_instance_cache()


def extract(folder: Path, root: str | None = ROOT, **options: object) -> featcache.Cache:
    how = {"workers": 0, "device": "cpu", "batch_size": 4, "progress": False, "root": root, **options}
    return featcache.extract("tiny", str(folder), **how)  # type: ignore[arg-type]


def assert_same(one: featcache.Cache, other: featcache.Cache) -> None:
    assert one.digest == other.digest
    for split in one.splits:
        assert np.array_equal(one[split].images, other[split].images, equal_nan=True)
        assert np.array_equal(one[split].content, other[split].content)  # type: ignore[arg-type]


def test_a_cache_in_a_bucket_is_as_on_disk(
    root: Path, image_folder: ImageFolder, start_server: StartServer, tmp_path: Path
) -> None:
    start_server()
    folder = image_folder()
    there, here = extract(folder), extract(folder, root=None)
    assert there.path == f"{ROOT}/caches/photos-tiny"
    assert_same(there, here)
    assert [cache.name for cache in [featcache.open("photos-tiny", root=ROOT)]] == ["photos-tiny"]
    templates = tmp_path / "mine.txt"
    templates.write_text("a drawing of a {}.\n")
    add_prompt_set(there.folder, str(templates), name=None, default=True, device="cpu")
    again = featcache.open("photos-tiny", root=ROOT)
    assert again.text.name == "mine"
    found = verify(again.folder, sample=8, device="cpu")
    assert (found.problems, found.sampled) == ([], found.identical)
    assert not again.folder.exists("writer.json")


def test_a_run_that_is_killed_continues_with_the_same_bits(
    root: Path, image_folder: ImageFolder, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_server()
    folder = image_folder(per_class=20)
    code = f"""
import time
from featcache.cache import plan, writing
plan.SECONDS_PER_SHARD = 0.001
write = writing.CacheStore.write
writing.CacheStore.write = lambda self, result: (time.sleep(0.2), write(self, result))
import featcache
featcache.extract("tiny", {str(folder)!r}, workers=0, device="cpu", batch_size=4, progress=False, root={ROOT!r})
"""
    run = subprocess.Popen([sys.executable, "-c", code], cwd=HERE)
    place = Folder(f"{ROOT}/caches/photos-tiny")
    while not place.names("train/state/c") and run.poll() is None:
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert place.exists("writer.json")
    monkeypatch.setattr(lock, "LEASE", 1.0)  # what the dead run holds ends by itself
    assert not place.exists("complete.json")
    continued = extract(folder)
    assert_same(continued, extract(folder, root=None))
    assert verify(continued.folder, sample=0).problems == []


def test_faults_on_the_way_are_tried_again(root: Path, image_folder: ImageFolder, start_server: StartServer) -> None:
    start_server(19, 500, 503)
    folder = image_folder(classes=2, per_class=6)
    assert_same(extract(folder), extract(folder, root=None))


def test_refusals_are_told_in_a_line_without_the_secret(
    root: Path, image_folder: ImageFolder, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_folder()
    start_server(1, 403)
    told = []
    with pytest.raises(CacheError, match=r"s3://bucket.* cannot be reached: Forbidden; check the credentials") as wrong:
        extract(folder)
    told.append(str(wrong.value))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(CacheError, match="cannot be reached: Unable to locate credentials; check") as missing:
        extract(folder)
    told.append(str(missing.value))
    assert not [message for message in told if "\n" in message or "a-secret" in message]
