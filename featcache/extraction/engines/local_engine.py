"""The engine of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from typing import Any

import torch

from featcache.encoders.device import resolve_device
from featcache.errors import ModelError
from featcache.extraction.engines.engine import Brief, StationThere
from featcache.extraction.engines.processes import stations_in_processes
from featcache.extraction.request import Request
from featcache.extraction.station import Station
from featcache.places.cores import cores_here


class LocalEngine:
    """This machine: this process, or one for each of several devices."""

    @contextmanager
    def stations(self, brief: Brief) -> Iterator[list[StationThere]]:
        """See `Engine.stations`."""
        devices = _devices(brief.request)
        if len(devices) == 1:
            with closing(Here(devices[0], Station(brief, devices[0], cores_here()))) as here:
                yield [here]
        else:
            with stations_in_processes(brief, devices) as stations:
                yield stations


def _devices(request: Request) -> list[str]:
    """The devices that were asked for, by their full names.

    Raises:
        ModelError: One of them is not there.
    """
    asked = [request.device]
    if request.devices == "all":
        asked = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        if not asked:
            raise ModelError("all devices were asked for, and this machine has no CUDA GPU: leave --devices out")
    elif request.devices is not None:
        asked = [f"cuda:{one}" if one.isdecimal() else one for one in map(str.strip, request.devices.split(","))]
    return [str(resolve_device(device)) for device in asked]


class Here:
    """A station of this process, which does at once what it is asked for."""

    def __init__(self, name: str, station: Station) -> None:
        self.name, self._station = name, station

    def call(self, method: str, *args: Any) -> Future[Any]:
        """See `StationThere.call`."""
        done: Future[Any] = Future()
        try:
            done.set_result(getattr(self._station, method)(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def close(self) -> None:
        """See `StationThere.close`."""
        self._station.close()
