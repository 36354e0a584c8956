"""Where the seconds of a whole `adapters fit` go, from the shell's prompt to the shell's prompt.

    python -m benchmarks.whole_process [--repeats 5] [--cache CACHE] [fit's own arguments …]

Each repeat is a fresh process of the installed command. Load, fit and evaluate are the report's own seconds. Imports
are those of one more process under `python -X importtime`, scaled to the time that is left: importtime slows imports
down, but by the same factor. What then remains is Python's start, parsing, saving and the exit.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

PACKAGES = ("torch", "sklearn", "zarr", "numpy")
"""Packages whose imports are told apart; what they import themselves counts as theirs."""


def once(command: list[str]) -> dict[str, float]:
    """Seconds of one process: in all, and of the stages it reports."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wall = time.perf_counter() - start
    return {"in all": wall, **json.loads(done.stdout)["seconds"]}


def import_seconds(command: list[str]) -> dict[str, float]:
    """Cumulative seconds of the outermost imports of each package, and of all imports, slowed by being watched."""
    watched = [sys.executable, "-X", "importtime", *command]
    lines = subprocess.run(watched, capture_output=True, text=True, check=True).stderr.splitlines()
    found = dict.fromkeys((*PACKAGES, "all"), 0.0)
    inside: list[tuple[int, str]] = []  # importtime prints what is imported before what imports it: read backwards
    for line in reversed([line for line in lines if line.startswith("import time:") and "self [us]" not in line]):
        own, _, name = line.removeprefix("import time:").split("|")
        depth = len(name) - len(name.lstrip())
        inside = [outer for outer in inside if outer[0] < depth]
        inside.append((depth, name.strip().partition(".")[0]))
        seconds = int(own) / 1e6
        found["all"] += seconds
        owner = next((package for _, package in inside if package in PACKAGES), None)
        if owner:
            found[owner] += seconds
    return found


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cache", help="default: the one extracted last")
    options, arguments = parser.parse_known_args()
    program = shutil.which("adapters", path=str(Path(sys.executable).parent))
    if program is None:
        sys.exit("the command `adapters` is not installed beside this Python: pip install featcache")
    asked = arguments or ["clip", "--shots", "4"]
    if options.cache:
        asked += ["--cache", options.cache]
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "fit", *asked, "--json", "--out", str(Path(folder) / "run")]
        runs = [once(command) for _ in range(options.repeats)]
        imports = import_seconds(command)
    seconds = {stage: median(run[stage] for run in runs) for stage in runs[0]}
    stages = {stage: value for stage, value in seconds.items() if stage != "in all"}
    rest = seconds["in all"] - sum(stages.values())
    scale = min(1.0, rest / imports["all"])
    print(f"adapters fit {' '.join(asked)}: medians of {options.repeats} processes")
    print("| stage | seconds |\n|---|---:|")
    for package in PACKAGES:
        print(f"| import {package} | {imports[package] * scale:.2f} |")
    other = imports["all"] - sum(imports[package] for package in PACKAGES)
    print(f"| other imports | {other * scale:.2f} |")
    print(f"| start, parse, save, exit | {rest - imports['all'] * scale:.2f} |")
    for stage, value in stages.items():
        print(f"| {stage} | {value:.3f} |")
    print(f"| in all | {seconds['in all']:.2f} |")


if __name__ == "__main__":
    main()
