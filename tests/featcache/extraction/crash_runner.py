"""Runs `extract` in forked children that are killed, for test_crashes.py. Arguments: plan.json report.json.

A process of its own: it forks after importing torch, which is safe only as long as no thread pool has started.
"""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import featcache.cache.plan
from featcache.errors import FeatcacheError
from featcache.extraction.extract import run_extraction
from featcache.extraction.request import Request

featcache.cache.plan.SECONDS_PER_SHARD = 1e-9  # one batch a shard: many writes to be killed at

REPLACE = Path.replace


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked child; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except FeatcacheError as error:
        print(error, file=sys.stderr)
        status = 2
    finally:
        os._exit(status)


def extract(request: dict[str, Any]) -> None:
    run_extraction(Request(**request, device="cpu"), progress=False)


def killed_at_moment(request: dict[str, Any], shards: int, seconds: float) -> str:
    """Kill -9 some time after a number of shards are finished."""
    states = Path(request["root"], "caches", request["name"])
    pid = in_child(lambda: extract(request))
    while len(list(states.glob("*/state/c/*"))) < shards:
        time.sleep(0.001)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return f"{shards} shards: status {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}"


def stopped_at_write(request: dict[str, Any], number: int, *, full_disk: bool) -> str:
    """Stop right before the file operation with this number that would make a write visible."""
    count = 0

    def replace(self: Path, target: str | Path) -> Path:
        nonlocal count
        count += 1
        if count == number:
            if full_disk:
                raise OSError(errno.ENOSPC, "No space left on device")
            os.kill(os.getpid(), signal.SIGKILL)
        return REPLACE(self, target)

    def work() -> None:
        Path.replace = replace  # type: ignore[assignment, method-assign]
        extract(request)

    return f"write {number}: status {os.waitstatus_to_exitcode(os.waitpid(in_child(work), 0)[1])}"


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    request, happened = plan["request"], []
    rng = random.Random(plan["seed"])
    for shards in sorted(rng.sample(range(10), plan.get("moments", 0))):
        happened.append(killed_at_moment(request, shards, rng.uniform(0, 0.004)))
    for number in plan.get("writes", []):
        happened.append(stopped_at_write(request, number, full_disk=plan["full_disk"]))
    report = run_extraction(Request(**request, device="cpu"), progress=False)
    result = report.to_json() | {"happened": happened}
    Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
