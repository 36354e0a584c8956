"""The picture of alpha."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from adapters.search.shown.picture import mean_path
from adapters.selection.exact_alpha import alpha_path


@pytest.mark.parametrize("select", ["support", "val"])
def test_a_trained_alpha_has_an_exact_curve_too(searched: Any, select: str) -> None:
    grid = {"alpha": (0.2, 0.5, 0.9), "lr": (0.05, 0.5), "epochs": (4,)}
    found = searched("clip", grid, select=select)
    assert found.to_json()["alpha"] == "grid"
    for chosen in found.chosen:
        assert chosen.final.path is not None
        assert chosen.final.path.accuracy(chosen.setting["alpha"]) == pytest.approx(chosen.accuracy)
    assert "dots: trained at that alpha" in found.picture.read_text()
    axes = re.search(r'id="patch_2">\s*<path d="M ([\d.]+) [\d.]+ \s*L ([\d.]+)', found.picture.read_text())
    assert axes is not None
    assert float(axes[2]) - float(axes[1]) > 450  # of 619 points: a long caption takes no room from the axes
    apart = searched("clip", {**grid, "train_alpha": (0.2, 0.9)}, select=select)
    assert apart.to_json()["alpha"] == "exact"
    assert len(apart.grid.settings) == 4
    for row in apart.rows:
        same = [r for r in found.rows if all(r[name] == row[name] for name in ("shots", "seed", "lr"))]
        assert row["selection_accuracy"] >= next(
            r["selection_accuracy"] for r in same if r["alpha"] == row["train_alpha"]
        )


def test_mean_of_step_functions() -> None:
    rng = np.random.default_rng(0)
    paths = [
        alpha_path(rng.normal(size=(30, 4)), rng.normal(size=(30, 4)), rng.integers(0, 4, 30), hi=2) for _ in range(3)
    ]
    points, means = mean_path(paths)
    at = rng.uniform(0, 2, 200)
    expected = np.mean([path.accuracy(at) for path in paths], axis=0)
    np.testing.assert_allclose(means[np.searchsorted(points, at, side="right") - 1], expected)


@pytest.mark.parametrize(
    ("method", "grid", "name", "words"),
    [
        ("tip", {"alpha": (0.0, 6.0)}, "alpha", ["line: exact accuracy of the chosen heads", "residual ratio alpha"]),
        ("taskres", {"lr": (0.1, 0.2), "alpha": (0.0, 0.5)}, "alpha", ["dots: best setting with that value"]),
        ("taskres", {"epochs": (None, 5), "weight_decay": (0.0, 0.1)}, "weight_decay", ["weight decay"]),
        ("taskres", {"epochs": (None, 5)}, "epochs", [">none<", ">5<"]),
        ("taskres", {"lr": (1e-4, 1e-1)}, "lr", ["held-out shots"]),
    ],
)
def test_the_picture(searched: Any, method: str, grid: Any, name: str, words: list[str]) -> None:
    found = searched(method, grid, shots=[1, 2, 4])
    assert found.picture == found.folder / f"{name}.svg"
    text = found.picture.read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    for word in ("2 shots", "4 shots", "select: support", "diamonds: chosen", *words):
        assert word in text
    assert "1 shot<" not in text


def test_a_png(searched: Any, tmp_path: Path) -> None:
    found = searched("tip", {"alpha": (0.0, 6.0)}, plot=tmp_path / "deep" / "curve.png")
    assert found.to_json()["files"]["picture"] == str(tmp_path / "deep" / "curve.png")
    with Image.open(tmp_path / "deep" / "curve.png") as picture:
        assert picture.size == (1290, 930)
