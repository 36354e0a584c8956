"""Caches in a bucket, against a real S3 server on loopback: as on disk, also with faults on the way."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import numpy as np
import pytest
from obstore.exceptions import PermissionDeniedError

import featcache
from featcache.cache import plan
from featcache.cache.writing import CacheStore
from featcache.encoders.encoder import Encoder
from featcache.errors import CacheError
from featcache.extraction.add_text import add_prompt_set
from featcache.places import bucket, lock
from featcache.places.folder import Folder
from featcache.verification.verify import verify
from tests.buckets import serving
from tests.conftest import ImageFolder
from tests.processes import mistake

ROOT = "s3://bucket/some/root"
HERE = Path(__file__).parents[3]
FAULTS = ("500", "503", "reset", "lost", "cut", "hang")

StartServer = Callable[..., str]


@pytest.fixture
def start_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StartServer]:
    """Starts a server and points this process and its children to it."""
    with ExitStack() as running:
        yield lambda *words, **how: running.enter_context(serving(monkeypatch, *map(str, words), **how))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "SILENCE", timedelta(seconds=0.4))


def extract(folder: Path, root: str | None = ROOT, **options: object) -> featcache.Cache:
    how = {"workers": 0, "device": "cpu", "batch_size": 4, "progress": False, "root": root, **options}
    return featcache.extract("tiny", str(folder), **how)  # type: ignore[arg-type]


def assert_same(one: featcache.Cache, other: featcache.Cache) -> None:
    assert one.digest == other.digest
    assert np.array_equal(one.text.features, other.text.features)
    for split in one.splits:
        assert np.array_equal(one[split].images, other[split].images, equal_nan=True)
        assert np.array_equal(one[split].content, other[split].content)  # type: ignore[arg-type]
        assert np.array_equal(one[split].ids, other[split].ids)


def test_a_cache_in_a_bucket_is_as_on_disk(
    root: Path, image_folder: ImageFolder, start_server: StartServer, tmp_path: Path
) -> None:
    start_server()
    folder = image_folder(classes=2, per_class=6)
    there, here = extract(folder, workers=1), extract(folder, root=None)
    assert there.path == f"{ROOT}/caches/photos-tiny"
    assert_same(there, here)
    assert_same(there.load(), here.load())
    assert extract(folder).completion == there.completion, "it was made again"
    assert featcache.latest(ROOT).name == "photos-tiny"
    templates = tmp_path / "mine.txt"
    templates.write_text("a drawing of a {}.\n")
    add_prompt_set(there.folder, str(templates), name=None, default=True, device="cpu")
    again = featcache.open("photos-tiny", root=ROOT)
    assert again.text.name == "mine"
    found = verify(again.folder, sample=8, device="cpu")
    assert (found.problems, found.sampled) == ([], found.identical)
    assert not again.folder.exists("writer.json")


def test_google_s_dialect_goes_the_same_way(
    root: Path,
    image_folder: ImageFolder,
    start_server: StartServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    key = {"gcs_base_url": start_server(module="benchmarks.object_server"), "disable_oauth": True}
    key |= dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    (tmp_path / "key.json").write_text(json.dumps(key))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "key.json"))
    folder = image_folder(classes=2, per_class=6)
    there = extract(folder, root="gs://bucket/root")
    assert_same(there, extract(folder, root=None))
    assert not there.folder.exists("writer.json")


def test_a_run_that_is_killed_continues_with_the_same_bits(
    root: Path, image_folder: ImageFolder, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_server()
    folder = image_folder(per_class=10)
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


class Killed(BaseException):
    """The run is dead: it writes nothing more, also where it cleans up."""


class Writes:
    """Counts what is sent to be written or removed, and kills the run before one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.last = 0, sys.maxsize
        for name in ("put_async", "delete_async"):
            monkeypatch.setattr(bucket.obstore, name, self._counted(getattr(bucket.obstore, name)))

    def _counted(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **how: Any) -> Any:
            self.count += 1
            if self.count > self.last:
                raise Killed
            return send(*given, **how)

        return counted


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # what a dead run was about to ask
def test_killed_before_any_write_a_run_continues_with_the_same_bits(
    root: Path,
    image_folder: ImageFolder,
    start_server: StartServer,
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
) -> None:
    start_server(module="benchmarks.object_server")
    loaded = Encoder.load("tiny", None, device="cpu")
    loaded._model.encode_image = lambda batch, normalize: batch.flatten(1)[:, :128]  # what is encoded is of no matter
    monkeypatch.setattr(Encoder, "load", lambda *given, **how: loaded)
    monkeypatch.setattr(plan, "SECONDS_PER_SHARD", 1e-9)  # a batch a shard
    monkeypatch.setattr(lock, "SETTLE", 0.01)
    folder, writes, how = (
        image_folder(classes=2, per_class=4),
        Writes(monkeypatch),
        {"splits": ("train",), "batch_size": 2},
    )
    here = extract(folder, root=None, **how)
    extract(folder, name="calm", **how)
    every, kept = writes.count, 0
    assert every > 20
    for last in range(0, every, 1 if pytestconfig.getoption("--long") else 9):
        name = f"killed-{last}"
        writes.count, writes.last = 0, last
        with pytest.raises(Killed):
            extract(folder, name=name, **how)
        writes.last, place = sys.maxsize, Folder(f"{ROOT}/caches/{name}")
        place.remove("writer.json")  # the dead run's lease has ended
        kept += bool(place.names("train/state/c"))
        assert_same(extract(folder, name=name, **how), here)
    assert kept, "no kill left a finished shard behind: nothing was continued"
    gc.collect()


@pytest.mark.usefixtures("impatient")
def test_faults_on_the_way_are_tried_again(root: Path, image_folder: ImageFolder, start_server: StartServer) -> None:
    start_server(7, *FAULTS)
    folder = image_folder(classes=2, per_class=6)
    assert_same(extract(folder), extract(folder, root=None))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_lease_whose_answer_was_lost_is_held(
    fault: str, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_wait_for_its_end", lambda folder: pytest.fail("it took its own lease for another's"))
    start_server(2, fault, "--on", "PUT writer.json")
    folder = Folder(f"{ROOT}/caches/c")
    with lock.writing(folder) as held:
        held.check()
        assert folder.exists("writer.json")
    assert not folder.exists("writer.json")


def test_a_store_that_never_answers_is_told_in_a_line(
    start_server: StartServer, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "TRIES", 1)
    monkeypatch.setattr(bucket, "PAUSES", ())
    start_server(1, "hang")
    with pytest.raises(CacheError, match="cannot be reached: .*; check the credentials, the region") as silent:
        Folder(ROOT).read_json("manifest.json")
    assert "\n" not in str(silent.value)
    assert "http" not in str(silent.value)


def test_what_cannot_be_reached_does_not_pass_for_damage(
    root: Path, image_folder: ImageFolder, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_server()
    cache = extract(image_folder(classes=2, per_class=2))
    store = CacheStore(cache.folder, cache.manifest)
    with monkeypatch.context() as refused:
        refused.setattr(
            bucket.obstore, "get_async", AsyncMock(side_effect=PermissionDeniedError("status code: 403 X: "))
        )
        with pytest.raises(CacheError, match="cannot be reached: 403 X; check"):
            store.pending("train")
    assert store.pending("train") == []
    assert cache.folder.exists("complete.json")


def test_refusals_are_told_in_a_line_without_the_secret(
    root: Path, image_folder: ImageFolder, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_folder(classes=2, per_class=2)
    start_server(1, 403)
    told = []
    with pytest.raises(
        CacheError, match=r"s3://bucket.* cannot be reached: 403 Forbidden.*; check the creden"
    ) as wrong:
        extract(folder)
    told.append(str(wrong.value))
    start_server()
    with pytest.raises(
        CacheError, match=r"s3://nowhere.* cannot be reached: 404 Not Found \(NoSuchBucket\)"
    ) as nowhere:
        Folder("s3://nowhere/root").write_json("manifest.json", {})
    told.append(str(nowhere.value))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(CacheError, match="cannot be reached: there are no credentials; check") as missing:
        extract(folder)
    told.append(str(missing.value))
    told.append(mistake("featcache", "list", "--root", "s3://somebody:a-secret@bucket/root"))
    assert not [message for message in told if "\n" in message.strip() or "a-secret" in message]
