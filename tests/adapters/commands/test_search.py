from __future__ import annotations

import json
from pathlib import Path

from tests.processes import mistake, run


def test_search_from_grid_to_picture(root: Path, tmp_path: Path) -> None:
    run("featcache", "extract", "--model", "tiny", "--dataset", "digits", "--limit", "80")
    grid = ("--alpha", "0:1:0.5", "--lr", "1e-3,1e-2", "--epochs", "3", "--shots", "1,2", "--seeds", "1,2")
    done = run("adapters", "search", "taskres", *grid, "--plot", str(tmp_path / "alpha.png"), "--json")
    found = json.loads(done.stdout)
    assert "search: 24 trainings: 6 settings of 4 draws" in done.stderr
    assert found["grid"] == {"alpha": [0.0, 0.5, 1.0], "lr": [0.001, 0.01], "epochs": [3]}
    assert (found["select"], found["seeds"], found["shots"]) == ("support", [1, 2], [1, 2])
    assert [(best["shots"], best["seed"]) for best in found["best"]] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert all(Path(file).stat().st_size for file in found["files"].values())
    assert Path(found["out"]).parent == root / "search"

    best = found["best"][-1]
    options = [word for name, value in best["hyperparameters"].items() for word in (f"--{name}", str(value))]
    fitted = json.loads(run("adapters", "fit", "taskres", "--shots", "2", "--seed", "2", *options, "--json").stdout)
    assert fitted["accuracy"]["test"] == best["test"]["chosen"]

    table = run("adapters", "search", "tip", "--alpha", "0:10:0.5", "--shots", "2", "--select", "oracle").stdout
    assert "search tip · digits-tiny-limit80 · tiny (local) · select: ORACLE · seeds 1, 2, 3" in table
    assert "Every alpha from 0 to 10 was scored exactly" in table
    halved = mistake("adapters", "search", "tip", "--cache", "digits-tiny-limit80", "--alpha", "0:1:0.5", "--halving")
    assert "leave out --halving" in halved
