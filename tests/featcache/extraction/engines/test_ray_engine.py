"""A Ray cluster of several nodes, all on this machine: the same bits, whatever happens to the nodes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

import featcache
from featcache.errors import CacheLocked, DataError, ModelError
from featcache.extraction.engines.engine import StationLost
from featcache.places.folder import Folder
from tests.begun import begin
from tests.conftest import ImageFolder
from tests.other_machines import other_pillow, slow_disk, without

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
from ray.cluster_utils import Cluster  # noqa: E402

from featcache.extraction.engines import ray_engine  # noqa: E402
from featcache.extraction.engines.ray_engine import slots  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::ResourceWarning")

AddNode = Callable[..., Any]

HEALTH = {"health_check_period_ms": 1000, "health_check_timeout_ms": 60_000, "health_check_failure_threshold": 3}
"""A node that is killed is found so in seconds, and one on a busy machine is not."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that offers nothing; tests add nodes."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environment.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        environment.setenv("PYTHONPATH", str(Path(__file__).parents[4]))
        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "num_gpus": 0, "include_dashboard": False, "_system_config": HEALTH},
        )
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def add_node(cluster: Cluster) -> Iterator[AddNode]:
    """Adds a node of one core with a PYTHONPATH of its own."""
    nodes = []

    def add(path: str = "") -> Any:
        with pytest.MonkeyPatch.context() as environment:
            if path:
                environment.setenv("PYTHONPATH", path)
            nodes.append(cluster.add_node(num_cpus=1, num_gpus=0))
        return nodes[-1]

    yield add
    for node in nodes:
        if node in cluster.list_all_nodes():
            cluster.remove_node(node)


@pytest.fixture
def folder(root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A cache that is begun, and nothing in it encoded."""
    return begin(image_folder(per_class=16), root, monkeypatch)


def extract(cluster: Cluster, images: Path, **options: Any) -> featcache.Cache:
    how = {"engine": "ray", "address": cluster.address, "workers": 0, "on_error": "skip", **options}
    return featcache.extract("tiny", str(images), name="c", **how)


def written(folder: Folder) -> int:
    return sum(len(folder.names(f"{split}/state/c")) for split in ("train", "val", "test"))


def once_written(folder: Folder, shards: int, then: Callable[[], None]) -> Thread:
    """Do something as soon as so many shards are there."""

    def wait() -> None:
        until = time.monotonic() + 60
        while written(folder) < shards and time.monotonic() < until:
            time.sleep(0.01)
        then()

    thread = Thread(target=wait)
    thread.start()
    return thread


def assert_as_here(images: Path, cache: featcache.Cache) -> None:
    threads, how = torch.get_num_threads(), {"device": "cpu", "batch_size": 4, "workers": 0, "on_error": "skip"}
    torch.set_num_threads(1)  # as many as a node has cores
    try:
        calm = featcache.extract("tiny", str(images), name="calm", **how)  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(threads)
    assert cache.digest == calm.digest
    for split in calm.splits:
        assert cache[split].images.tobytes() == calm[split].images.tobytes()


def test_a_node_is_killed_and_another_is_slow(
    cluster: Cluster, add_node: AddNode, folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_node()
    add_node(slow_disk(tmp_path / "slow", 0.3))
    doomed = add_node(slow_disk(tmp_path / "doomed", 0.3))
    kill = once_written(folder, 2, lambda: cluster.remove_node(doomed, allow_graceful=False))
    cache = extract(cluster, tmp_path / "photos")
    kill.join()
    told = capsys.readouterr().err
    assert f"({doomed.node_id[:6]}) is lost: " in told
    assert "its shards go to the others" in told
    assert "48/48" in told
    assert not ray.is_initialized()
    assert_as_here(tmp_path / "photos", cache)


def test_nodes_that_cannot_take_part_are_all_named_before_work_starts(
    cluster: Cluster, add_node: AddNode, folder: Folder, tmp_path: Path
) -> None:
    add_node()
    blind = add_node(without(tmp_path / "blind", tmp_path / "photos")).node_id[:6]
    old = add_node(other_pillow(tmp_path / "old", "0.1")).node_id[:6]
    with pytest.raises(DataError, match="2 of 3 places cannot take part") as refused:
        extract(cluster, tmp_path / "photos")
    told = str(refused.value)
    assert "\n" not in told
    assert f"({blind}): the images are not seen from there: {tmp_path}/photos lacks class_0/" in told
    assert f"({old}): " in told
    assert "pillow is 0.1 there" in told
    assert written(folder) == 0


@pytest.mark.long
def test_a_killed_driver_loses_nothing_finished_and_a_second_one_is_refused(
    cluster: Cluster, add_node: AddNode, folder: Folder, tmp_path: Path
) -> None:
    add_node(slow_disk(tmp_path / "slow", 0.1))
    code = (
        "import sys, featcache\n"
        "how = {'engine': 'ray', 'address': sys.argv[2], 'workers': 0, 'on_error': 'skip'}\n"
        "featcache.extract('tiny', sys.argv[1], name='c', **how)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "photos"), cluster.address]
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ})
    once_written(folder, 2, lambda: None).join()
    with pytest.raises(CacheLocked, match=f"process {driver.pid} on .* has been writing the cache"):
        extract(cluster, tmp_path / "photos")
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    done = written(folder)
    assert 2 <= done < 12
    continued = extract(cluster, tmp_path / "photos")
    assert_as_here(tmp_path / "photos", continued)


def test_a_cluster_that_is_not_there_and_one_without_room_are_told_in_a_line(
    cluster: Cluster, add_node: AddNode, folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(DataError, match=f"the Ray cluster 127.0.0.1:{port} cannot be reached: .*refused; start one"):
        featcache.extract("tiny", str(tmp_path / "photos"), name="c", engine="ray", address=f"127.0.0.1:{port}")
    assert time.monotonic() - began < 30
    with pytest.raises(ModelError, match="none of the 1 nodes of this Ray cluster offers a CPU or a GPU"):
        extract(cluster, tmp_path / "photos")
    with pytest.raises(ModelError, match="'cuda' was asked for, none of the 1 nodes of this Ray cluster has a GPU"):
        extract(cluster, tmp_path / "photos", device="cuda")
    add_node()
    ray.init(cluster.address, log_to_driver=False)
    try:

        @ray.remote(num_cpus=1)
        class Other:
            def there(self) -> bool:
                return True

        other = Other.remote()
        assert ray.get(other.there.remote())
        monkeypatch.setattr(ray_engine, "START", 1.0)
        with pytest.raises(StationLost, match="no room for an actor within 1 s, since other work holds the CPUs"):
            extract(cluster, tmp_path / "photos")
        assert ray.is_initialized()  # whoever was connected before stays so
    finally:
        ray.shutdown()


def node(name: str, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"NodeID": name * 8, "NodeManagerAddress": "10.0.0.1", "Alive": alive, "Resources": resources}


def test_an_actor_for_each_gpu_or_each_node_without_one() -> None:
    nodes = [node("a", CPU=16.0, GPU=2.0), node("b", CPU=4.0), node("c", alive=False, CPU=8.0, GPU=8.0)]
    assert [(slot.name, slot.device, slot.cores) for slot in slots(nodes, "auto")] == [
        ("10.0.0.1 (aaaaaa) GPU 0", "cuda", 8),
        ("10.0.0.1 (aaaaaa) GPU 1", "cuda", 8),
    ]
    assert [(slot.name, slot.device, slot.cores) for slot in slots(nodes, "cpu")] == [
        ("10.0.0.1 (aaaaaa)", "cpu", 16),
        ("10.0.0.1 (bbbbbb)", "cpu", 4),
    ]
    assert [slot.name for slot in slots(nodes[1:], "auto")] == ["10.0.0.1"]
    with pytest.raises(ModelError, match="device 'cuda:1' was asked for, a Ray cluster has auto, cuda or cpu"):
        slots(nodes, "cuda:1")
