"""What `fit`, `bench` and `search` give for every method, through the command line: recorded, and compared.

`python -m tests.recorded_numbers SHARED` records `tests/golden/numbers.json` anew, which only a change that is meant to
change numbers may do. Floating-point arithmetic is the same to the bit on one kind of processor with one set of
libraries: `same_machine` says whether that is so.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from typer.testing import CliRunner

import adapters
import cli
import featcache
from adapters.tasks.seen import seen_by

FILE = Path(__file__).parent / "golden" / "numbers.json"
LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "faiss-gpu", "faiss-cpu", "pillow", "open_clip_torch")
EUROSAT_ROWS = 2000
"""Of each split."""
GRIDS = {
    "auto": {"shrinkage": "0,1"},
    "linear": {"C": "1,31.6,1000"},
    "clip": {"alpha": "0:1:0.25", "lr": "0.01,0.1", "epochs": "20"},
    "tip": {"alpha": "0:4:0.5", "beta": "1,5.5,20"},
    "tip-f": {"alpha": "0:4:0.5", "lr": "1e-4,1e-3", "epochs": "5"},
    "taskres": {"alpha": "0.1,0.5,1", "epochs": "20"},
    "zs-lp": {"lr": "0.01,0.1", "epochs": "20"},
    "clap": {"lr": "0.01,0.1", "epochs": "20"},
    "lp++": {"epochs": "20,50"},
    "cross-modal": {"alpha": "0:1:0.25", "lr": "1e-4,1e-3", "iterations": "200"},
    "prolip": {"penalty": "0,0.1,1", "steps": "30"},
    "reg-linear": {"penalty": "0,0.1,1", "steps": "30"},
    "gated": {"lr": "1e-4,1e-3", "epochs": "20"},
    "instruct": {"lr": "1e-5,1e-4", "epochs": "2"},
    "consistency": {"lr": "1e-4,1e-3", "epochs": "5"},
    "mixture": {"lr": "1e-3,1e-2", "epochs": "20"},
    "gda": {"alpha": "0.1,1,10"},
    "ss-text": {"alpha": "0.01,0.1,1"},
    "ss-text-u": {"alpha": "0.01,0.1,1"},
    "semobridge": {"alpha": "0.1,1,10", "beta": "1,5"},
    "semobridge-t": {"alpha": "0.1,1,10", "lr": "1e-4,1e-3", "steps": "20"},
    "proker": {"beta": "1,5,10"},
    "gp": {"beta": "1,4", "lam": "1,10"},
    "ape": {"alpha": "0:4:0.5", "beta": "1,5"},
    "tip-x": {"alpha": "0:4:0.5", "gamma": "0.1,1"},
    "timo": {"alpha": "0.1,1,10"},
    "meta": {"lr": "1e-4,1e-3"},
    "mma": {"lr": "1e-4,1e-3", "epochs": "5"},
    "cil-linear": {"lr": "1e-3,1e-2", "epochs": "5"},
    "cil-attention": {"lr": "1e-3,1e-2", "epochs": "5"},
    "rapf": {"lr": "1e-4,1e-3", "epochs": "3"},
}
"""A small grid of every method that has options, as it is typed."""
PROTOCOLS = {
    "few-shot": [],
    "base-to-new": [],
    "incremental": ["--tasks", "3"],
}


def run(app: Any, *arguments: str) -> Any:
    """The object that a command prints with `--json`."""
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, f"{' '.join(arguments)}: {result.output} {result.exception!r}"
    return json.loads(result.stdout)


def methods() -> list[str]:
    """Every method's name."""
    return [method["name"] for method in run(cli.adapters_app(), "list")["methods"]]


def digits(root: Path) -> str:
    """The cache of digits under a root; its name."""
    return Path(run(cli.featcache_app(), "extract", *_tiny(root), "--dataset", "digits")["cache"]).name


def eurosat(root: Path, shared: Path) -> str:
    """The cache of some of EuroSAT under a root; its name."""
    zipped = shared / "data" / "eurosat" / "EuroSAT.zip"
    asked = ["--dataset", "eurosat", "--data-root", str(zipped), "--limit", str(EUROSAT_ROWS)]
    return Path(run(cli.featcache_app(), "extract", *_tiny(root), *asked)["cache"]).name


def _tiny(root: Path) -> list[str]:
    return ["--model", "tiny", "--keep", "pre-projection", "--root", str(root), "--device", "cpu"]


WITHOUT = {"consistency": ["--agree-views", "0", "--agree-prompts", "0"]}
"""What a method is told that lacks here what it is made for: EuroSAT's cache has one view and one prompt."""
RECIPES = {
    "its own": ["--shots", "4"],
    "val-kshot, calibrated": ["--shots", "2", "--select", "val-kshot", "--calibrate"],
    "support, calibrated": ["--shots", "2", "--select", "support", "--calibrate"],
}


def of_fit(root: Path, cache: str, method: str, options: Sequence[str]) -> dict[str, Any]:
    """Scores, what was chosen and the logits of one fit."""
    report = run(cli.adapters_app(), "fit", method, *options, *WITHOUT.get(method, []), *_where(root, cache))
    head = adapters.load(report["run"], device="cpu")
    logits = head.decision_function(seen_by(type(head), featcache.open(cache, str(root)))["test"].images)
    kept = ("select", "accuracy", "ece", "hyperparameters", "parameters", "temperature", "alpha_interval", "note")
    return {**{name: report[name] for name in kept}, "logits": hashlib.sha256(logits.tobytes()).hexdigest()}


def of_bench(root: Path, cache: str, protocol: str) -> list[list[Any]]:
    """Method, part, accuracy and ECE of every row of a bench on two shots."""
    asked = ["--protocol", protocol, *PROTOCOLS[protocol], "--shots", "2", "--seeds", "1"]
    found = run(cli.adapters_app(), "bench", *asked, *_where(root, cache))
    return [[row[name] for name in ("method", "part", "how", "accuracy", "ece")] for row in found["rows"]]


def of_search(root: Path, cache: str, method: str) -> list[dict[str, Any]]:
    """What a small grid chose on one and on four shots, and how well that does."""
    grid = [word for name, values in GRIDS[method].items() for word in (f"--{name}", values)]
    grid += WITHOUT.get(method, [])
    found = run(cli.adapters_app(), "search", method, *grid, "--shots", "1,4", "--seeds", "1", *_where(root, cache))
    return list(found["best"])


def _where(root: Path, cache: str) -> Sequence[str]:
    return "--cache", cache, "--root", str(root), "--device", "cpu"


def measure(root: Path, cache: str, command: str, name: str) -> Any:
    """What a command gives for a method, or a bench under a protocol."""
    if command == "fit":
        return {recipe: of_fit(root, cache, name, options) for recipe, options in RECIPES.items()}
    return of_search(root, cache, name) if command == "search" else of_bench(root, cache, name)


def measured() -> list[tuple[str, str]]:
    """Commands, each with the names that it is run for."""
    searched = [name for name in GRIDS if name not in WITHOUT]  # a search also fits the defaults
    every = {"fit": methods(), "search": searched, "bench": PROTOCOLS}
    return [(command, name) for command, names in every.items() for name in names]


def machine() -> dict[str, Any]:
    """What floating-point results depend on."""
    info = Path("/proc/cpuinfo")
    told = [line.partition(":") for line in info.read_text().splitlines()] if info.exists() else []
    cpu = {key.strip(): value.strip() for key, _, value in reversed(told)}  # of the first core
    installed = {dist.metadata["Name"].lower(): dist.version for dist in metadata.distributions()}
    return {
        "processor": [cpu.get(key, "") for key in ("model name", "cpu family", "model", "stepping", "cache size")],
        "instructions": sorted(flag for flag in cpu.get("flags", "").split() if flag.startswith(("avx", "fma", "sse"))),
        "system": platform.system(),
        "threads": torch.get_num_threads(),
        "libraries": {name: installed[name.lower()] for name in LIBRARIES if name.lower() in installed},
    }


def same_machine(recorded: dict[str, Any]) -> bool:
    """Whether numbers recorded there must be equal to the bit here."""
    return recorded == machine()


def main(shared: Path) -> None:
    """Record all numbers anew, a line each."""
    found: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for cache in (digits(root), eurosat(root, shared)):
            for command, name in measured():
                print(cache, command, name)
                found[f"{cache} {command} {name}"] = measure(root, cache, command, name)
    lines = (f"{json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in found.items())
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
