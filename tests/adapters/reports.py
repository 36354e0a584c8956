"""A report to test with: an ordinary one, and one that is not easily shown on a narrow terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adapters.runs.report import Report
from adapters.scores import Scores


def scores(accuracy: float) -> dict[str, Any]:
    """Scores of a split as a report holds them."""
    ends = (accuracy - 0.02, accuracy + 0.03)
    return Scores(8100, accuracy, ends, accuracy - 0.05, ends, accuracy, accuracy, 0.7, 0.4, 0.0523).to_json()


REPORT = Report(
    method="clip",
    dataset="eurosat",
    model="ViT-B-16",
    pretrained="openai",
    shots=4,
    seed=1,
    select="none",
    hyperparameters={"alpha": 0.2},
    accuracy={"zero_shot": 0.5012, "val": None, "test": 0.7549},
    ece={"zero_shot": 0.1, "test": 0.0523},
    seconds={"load": 0.1, "fit": 0.2, "evaluate": 0.3},
    parameters=131072,
    cache="/home/me/caches/eurosat",
    cache_name="eurosat",
    cache_digest="d" * 64,
    prompts="coop",
    classes=10,
    rows={"support": 40, "val": None, "test": 8100},
    indices={"file": None, "digest": "e" * 64},
    note="",
    created="2026-01-01T00:00:00+00:00",
    run="",
    scores={"zero_shot": scores(0.5012), "val": None, "test": scores(0.7549)},
    difference={"accuracy": 0.2537, "interval": [0.24, 0.27]},
    largest_class=0.11,
    imbalance=1.2,
)
WIDE = replace(
    REPORT,
    method="multi-modal-adapter",
    dataset="a data set of Sentinel-2 images",
    model="/models/" + "m" * 70,
    pretrained="local",
    shots=16,
    accuracy={"zero_shot": 0.5, "val": 0.4, "test": 0.75},
    hyperparameters={"alpha": 0.2, "lr": 0.0123456789, "train_alpha": None, "solver": "lbfgs", "weight_decay": 0.0005},
    cache_name="eurosat-" + "c" * 50,
    run="/home/" + "r" * 70,
    scores={"zero_shot": scores(0.5), "val": scores(0.4), "test": scores(0.75)},
    remarks=["the head is below zero-shot " * 5],
)
