"""Stations in processes of this machine, one for each device."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from typing import Any

from featcache.extraction.engines.engine import Brief, StationLost, StationThere
from featcache.extraction.station import Station
from featcache.places.cores import cores_here

END = 10.0
"""Seconds that a process has to end by itself."""


@contextmanager
def stations_in_processes(brief: Brief, devices: Sequence[str]) -> Iterator[list[StationThere]]:
    """One for each device, which share the cores; where a device is there more than once they are numbered."""
    cores = max(1, cores_here() // len(devices))
    stations: list[InProcess] = []
    try:
        for number, device in enumerate(devices):
            name = device if devices.count(device) == 1 else f"{device} {number}"
            stations.append(InProcess(name, brief, device, cores))
        yield list(stations)
    finally:
        for station in stations:
            station.ask_to_end()
        for station in stations:
            station.close()


class InProcess:
    """A station in a process of its own.

    It is started anew and not forked: CUDA does not survive that.
    """

    def __init__(self, name: str, brief: Brief, device: str, cores: int) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._connection, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(other_end, brief, device, cores), name=f"featcache {name}")
        self._process.start()
        other_end.close()  # so that its end is seen here
        self._thread, self._asks = ThreadPoolExecutor(1, thread_name_prefix=f"featcache-{name}"), False
        self._answered = False

    def call(self, method: str, *args: Any) -> Future[Any]:
        """See `StationThere.call`."""
        return self._thread.submit(self._asked, method, args)

    def ask_to_end(self) -> None:
        """Let the process end by itself; one that does something is killed."""
        if self._asks:
            self._process.kill()
        else:
            self._connection.close()

    def close(self) -> None:
        """Wait for its end, and kill it if that takes long."""
        self._process.join(END)
        self._process.kill()
        self._process.join()
        self._thread.shutdown()

    def _asked(self, method: str, args: tuple[Any, ...]) -> Any:
        self._asks = True
        try:
            self._connection.send((method, args))
            value, error = self._connection.recv()
        except (EOFError, OSError) as gone:
            self._process.join(END)
            message = f"the process for {self.name} was ended (status {self._process.exitcode})"
            if not self._answered:
                message += "; a script that gives devices must do so under `if __name__ == '__main__':`"
            raise StationLost(message) from gone
        self._asks, self._answered = False, True
        if error is not None:
            raise error
        return value


def _portable(error: Exception) -> Exception:
    """The error as it can be sent, with where it was raised."""
    told = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(told)
    error.add_note(told)
    return error


def _serve(connection: Connection, brief: Brief, device: str, cores: int) -> None:
    """What such a process does: one method after the other, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks, which ends this one
    with closing(Station(brief, device, cores)) as station:
        while True:
            try:
                method, args = connection.recv()
                answer: tuple[Any, BaseException | None]
                try:
                    answer = getattr(station, method)(*args), None
                except Exception as error:
                    answer = None, _portable(error)
                connection.send(answer)
            except (EOFError, OSError):  # whoever asked has ended
                return
