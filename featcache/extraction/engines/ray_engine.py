"""The engine of a Ray cluster. Ray starts and ends the actors; what they encode meets in the cache."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from featcache.errors import DataError, FeatcacheError, ModelError
from featcache.extraction.engines.engine import Brief, StationLost, StationThere
from featcache.extraction.station import Station

try:
    import ray
    from ray.exceptions import RayActorError, RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise DataError("the engine ray needs Ray: type pip install 'featcache[ray]'") from error

KNOCK = 5.0
"""Seconds in which the head of a cluster answers."""
START = 120.0
"""Seconds in which a node has to start its actors, which takes long where Python's packages lie on a network."""


class RayEngine:
    """A Ray cluster: an actor for each GPU, or for each node where there is none."""

    @contextmanager
    def stations(self, brief: Brief) -> Iterator[list[StationThere]]:
        """See `Engine.stations`."""
        with _connected(brief.request.address):
            there: list[Actor] = []
            try:
                shared = ray.put(brief)
                nodes = ray.nodes()  # type: ignore[no-untyped-call]
                there += [Actor(slot, shared) for slot in slots(nodes, brief.request.device)]
                _require_started(there)
                yield list(there)
            finally:
                for actor in there:
                    actor.close()


@dataclass(frozen=True)
class Slot:
    """Room for an actor.

    Attributes:
        name: As messages call it.
        node: Ray's id.
        device: `cuda` or `cpu`.
        cores: Of the CPU, that it may use.
    """

    name: str
    node: str
    device: str
    cores: int


class Actor:
    """A station in a Ray actor, which ends with whoever started it."""

    def __init__(self, slot: Slot, brief: ray.ObjectRef[Brief]) -> None:
        self.name = slot.name
        on_gpu = slot.device == "cuda"
        actor: Any = (
            ray.remote(Station)
            .options(
                num_gpus=int(on_gpu),
                num_cpus=0 if on_gpu else slot.cores,
                scheduling_strategy=NodeAffinitySchedulingStrategy(slot.node, soft=False),
            )
            .remote(brief, slot.device, slot.cores)
        )
        self._actor, self.started = actor, actor.__ray_ready__.remote()

    def call(self, method: str, *args: Any) -> Future[Any]:
        """See `StationThere.call`."""
        answered: Future[Any] = Future()

        def answer(done: Future[Any]) -> None:
            if (error := done.exception()) is None:
                answered.set_result(done.result())
            else:
                answered.set_exception(_meant(error, self.name))

        getattr(self._actor, method).remote(*args).future().add_done_callback(answer)
        return answered

    def close(self) -> None:
        """See `StationThere.close`."""
        ray.kill(self._actor)


def slots(nodes: Sequence[Mapping[str, Any]], device: str) -> list[Slot]:
    """One for each GPU of the cluster's nodes, or one for each node with all its cores where there is no GPU.

    Args:
        nodes: As `ray.nodes` tells them.
        device: `auto`, `cuda` or `cpu`.

    Raises:
        ModelError: Another device, or there is none in the cluster.
    """
    if device not in ("auto", "cuda", "cpu"):
        raise ModelError(f"device '{device}' was asked for, a Ray cluster has auto, cuda or cpu: give one of these")
    alive = [node for node in nodes if node["Alive"]]
    kind = "CPU" if device == "cpu" or not any(_count(node, "GPU") for node in alive) else "GPU"
    if device == "cuda" and kind == "CPU":
        raise ModelError(f"device 'cuda' was asked for, none of the {len(alive)} nodes of this Ray cluster has a GPU")
    addresses, found = [node["NodeManagerAddress"] for node in alive], []
    for node in alive:
        address, cores, count = node["NodeManagerAddress"], _count(node, "CPU"), _count(node, kind)
        name = address if addresses.count(address) == 1 else f"{address} ({node['NodeID'][:6]})"
        if kind == "CPU":
            found += [Slot(name, node["NodeID"], "cpu", cores)] if count else []
        else:
            share = max(1, cores // max(1, count))
            found += [Slot(f"{name} GPU {number}", node["NodeID"], "cuda", share) for number in range(count)]
    if not found:
        raise ModelError(f"none of the {len(alive)} nodes of this Ray cluster offers a CPU or a GPU")
    return found


def _count(node: Mapping[str, Any], resource: str) -> int:
    return int(node["Resources"].get(resource, 0))


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Be connected to a cluster; whoever was connected before stays so."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    asked = address or os.environ.get("RAY_ADDRESS", "")
    try:
        _require_answer(asked)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        where = f"the Ray cluster {asked}" if asked else "a Ray cluster"
        message = f"{where} cannot be reached: {_first_line(error)}; "
        advice = "start one with `ray start --head`, mend --address, or, if it wants a token, type RAY_AUTH_MODE=token"
        raise DataError(message + advice + " before the command") from error
    try:
        yield
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Knock at `host:port`; Ray itself would try for minutes. Other words, such as `auto`, are for Ray to understand.

    Raises:
        OSError: Nobody answers.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=KNOCK).close()


def _require_started(actors: Sequence[Actor]) -> None:
    """Wait for all actors.

    Raises:
        StationLost: One failed, or had no room; the message says which.
    """
    ready, waiting = ray.wait([actor.started for actor in actors], num_returns=len(actors), timeout=START)
    names = {actor.started: actor.name for actor in actors}
    if waiting:
        late = ", ".join(names[started] for started in waiting)
        message = f"{late}: no room for an actor within {START:.0f} s, since other work holds the CPUs or GPUs; "
        raise StationLost(message + "`ray status` shows it")
    for started in ready:
        try:
            ray.get(started)
        except RayError as error:
            raise _meant(error, names[started]) from None


def _meant(error: BaseException, name: str) -> BaseException:
    """What an error of Ray means: that of the method, or that the actor is lost."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, FeatcacheError | OSError):
        return error.cause
    if isinstance(error, RayActorError):
        return StationLost(f"{name} is lost: {_first_line(error)}")
    return error


def _first_line(error: BaseException) -> str:
    """The first line that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
