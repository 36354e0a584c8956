"""What a search is asked with and how it is shown: grids as typed, the choice among equals, table, notes, picture."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from adapters import ClipAdapter, ZeroShot
from adapters.alpha_choice import Widest
from adapters.arrays import unit
from adapters.base import Rows
from adapters.errors import AdapterError
from adapters.exact_alpha import alpha_path
from adapters.options import parse_grid, parse_options
from adapters.search import Results, run
from adapters.search.choice import choose
from adapters.search.grid import Grid
from adapters.search.picture import mean_path
from adapters.search.progress import TrialReporter
from adapters.search.table import over_seeds
from adapters.search.trials import Outcome, Trial, path_of, right

Make = Callable[..., Any]


@pytest.fixture
def search(make_cache: Make, tmp_path: Path) -> Callable[..., Results]:
    def run_search(method: str, grid: Any, **options: Any) -> Results:
        asked = {"cache": make_cache(), "shots": [2], "seeds": [1, 2], "out": tmp_path / "search", **options}
        return run(method, grid, **asked)

    return run_search


def printed(results: Results) -> str:
    console = Console(file=io.StringIO(), width=160, markup=False)
    console.print(results.table())
    return str(console.file.getvalue())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("method", "words", "expected"),
    [
        ("clip", ["--alpha", "0:1:0.25"], {"alpha": (0.0, 0.25, 0.5, 0.75, 1.0)}),
        ("clip", ["--alpha=0.1:0.35:0.1"], {"alpha": (0.1, 0.2, 0.3)}),
        ("clip", ["--lr", "1e-3,3e-3", "--wd", "0,5e-4"], {"lr": (1e-3, 3e-3), "weight_decay": (0.0, 5e-4)}),
        ("clip", ["--alpha", "0:0.1:0.1,0.1,0.7"], {"alpha": (0.0, 0.1, 0.7)}),
        ("taskres", ["--epochs", "none,50,100:300:100"], {"epochs": (None, 50, 100, 200, 300)}),
        ("taskres", ["--alpha", "1e-3:2e-3:1e-3"], {"alpha": (0.001, 0.002)}),
        ("gda", ["--covariance", "shrunk,class-mean"], {"covariance": ("shrunk", "class-mean")}),
    ],
)
def test_grids_as_they_are_typed(method: str, words: list[str], expected: dict[str, Any]) -> None:
    assert parse_grid(method, words) == expected


def test_fit_has_the_short_name_and_none_too() -> None:
    assert parse_options("taskres", ["--wd", "0.1", "--epochs", "none"]) == {"weight_decay": 0.1, "epochs": None}
    with pytest.raises(AdapterError, match="tip has no option --wd"):
        parse_options("tip", ["--wd", "0.1"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--alpha", "0:1"], "--alpha 0:1: expected a range lo:hi:step of at most 10,000 values, such as 0:1:0.05"),
        (["--alpha", "1:0:0.1"], "expected a range"),
        (["--alpha", "0:1:0"], "expected a range"),
        (["--alpha", "0:1:-0.1"], "expected a range"),
        (["--alpha", "0:1:1e-9"], "at most 10,000 values"),
        (["--alpha", "0:inf:1"], "expected a range"),
        (["--alpha", "0:nan:1"], "expected a range"),
        (["--alpha", "0:much:1"], "expected a range"),
        (["--alpha", "0.1,much"], "--alpha much: expected float"),
        (["--epochs", "1:3:0.5"], "--epochs 1.0: expected int or none"),
        (["--alhpa", "0:1:0.1"], "did you mean --alpha"),
        (["--alpha"], "without a value"),
    ],
)
def test_a_wrong_grid_is_one_line(words: list[str], told: str) -> None:
    with pytest.raises(AdapterError, match=told) as error:
        parse_grid("taskres", words)
    assert "\n" not in str(error.value)


def test_alpha_is_trained_or_not_as_the_head_says() -> None:
    alphas = {"alpha": (1.0, 0.0, 0.5), "lr": (0.1, 0.2)}
    trained = Grid.of("taskres", alphas)
    assert trained.alpha_range is None
    assert [(s["lr"], s["alpha"]) for s in trained.settings] == [(lr, a) for lr in (0.1, 0.2) for a in (1.0, 0.0, 0.5)]
    after = Grid.of("tip-f", alphas)
    assert after.alpha_range == (0.0, 1.0)
    assert after.settings == [{"lr": 0.1, "train_alpha": 1.0}, {"lr": 0.2, "train_alpha": 1.0}]
    given = Grid.of("tip-f", {**alphas, "train_alpha": (3.0,)})
    assert [setting["train_alpha"] for setting in given.settings] == [3.0, 3.0]
    fixed = Grid.of("tip", {"alpha": (2.0,), "beta": (1.0, 2.0)})
    assert fixed.alpha_range is None
    assert [setting["alpha"] for setting in fixed.settings] == [2.0, 2.0]


def adapter_parts(head: ClipAdapter, X: Any) -> tuple[Any, Any]:
    """Of CLIP-Adapter's blend at fixed weights: its logits up to a positive factor of each row."""
    rows = unit(X)
    adapted = np.maximum(np.maximum(rows @ head.w1_.T, 0) @ head.w2_.T, 0)
    return rows @ head.text_.T, (adapted - rows) @ head.text_.T


@pytest.mark.parametrize("select", ["support", "val"])
def test_a_trained_alpha_has_an_exact_curve_too(search: Any, monkeypatch: pytest.MonkeyPatch, select: str) -> None:
    monkeypatch.setattr(ClipAdapter, "parts", adapter_parts, raising=False)
    grid = {"alpha": (0.2, 0.5, 0.9), "lr": (0.05, 0.5), "epochs": (4,)}
    found = search("clip", grid, select=select)
    assert found.to_json()["alpha"] == "grid"
    for chosen in found.chosen:
        assert chosen.final.path is not None
        assert chosen.final.path.accuracy(chosen.setting["alpha"]) == pytest.approx(chosen.accuracy)
    assert "dots: trained at that alpha" in found.picture.read_text()
    axes = re.search(r'id="patch_2">\s*<path d="M ([\d.]+) [\d.]+ \s*L ([\d.]+)', found.picture.read_text())
    assert axes is not None
    assert float(axes[2]) - float(axes[1]) > 450  # of 619 points: a long caption takes no room from the axes
    apart = search("clip", {**grid, "train_alpha": (0.2, 0.9)}, select=select)
    assert apart.to_json()["alpha"] == "exact"
    assert len(apart.grid.settings) == 4
    for row in apart.rows:
        same = [r for r in found.rows if all(r[name] == row[name] for name in ("shots", "seed", "lr"))]
        assert row["selection_accuracy"] >= next(
            r["selection_accuracy"] for r in same if r["alpha"] == row["train_alpha"]
        )


def choice(counts: list[int | None]) -> int:
    """Of two learning rates and five alphas, typed in no order; None: given up."""
    settings = [{"lr": lr, "alpha": alpha} for lr in (0.1, 0.2) for alpha in (0.5, 0.0, 0.25, 0.75, 1.0)]
    outcomes = {i: Outcome(9, stopped_at=3) if n is None else Outcome(n) for i, n in enumerate(counts)}
    return choose(settings, outcomes)


def test_the_middle_of_tied_alphas_is_taken() -> None:
    assert choice([1, 0, 2, 1, 1, 1, 1, 1, 1, 1]) == 2
    assert choice([5, 5, 5, 5, 5, 5, 5, 5, 5, 5]) == 0  # alpha = 0.5 of the first learning rate
    assert choice([5, 0, 0, 5, 5, 5, 5, 5, 5, 5]) == 3  # 0.5, 0.75, 1
    assert choice([0, 5, 5, 0, 5, 0, 0, 0, 0, 0]) == 1  # 0 and 0.25 are neighbours: the lower of two middles
    assert choice([0, 0, 0, 0, 0, 0, 7, 0, 0, 7]) == 6
    assert choice([None, 1, None, 0, 0, 0, 0, 0, 0, 0]) == 1


def test_of_tied_settings_the_one_with_the_widest_interval_is_taken() -> None:
    settings = [{"beta": beta} for beta in (1.0, 2.0, 3.0)]
    outcomes = {i: Outcome(4, Widest(width, 1.0, 0.5, 1.5)) for i, width in enumerate((0.1, 0.3, 0.2))}
    assert choose(settings, outcomes) == 1
    assert choose(settings, {**outcomes, 2: Outcome(5, Widest(0.0, 1.0, 1.0, 1.0))}) == 2


class Lost(ZeroShot):
    """Has no finite logits for its first row."""

    def _logits(self, features: Any) -> Any:
        logits = super()._logits(features)
        logits[0] = np.nan
        return logits

    def parts(self, X: Any) -> Any:
        return self._logits(X), np.zeros((len(X), 4), dtype=np.float32)


def test_what_diverged_is_never_right() -> None:
    text = np.eye(4, dtype=np.float32)
    head, rows = Lost().fit(text, np.arange(4), text=text), Rows(text, np.arange(4))
    assert right(head, rows) == 3
    assert path_of([(head, rows)], (0.0, 1.0)).correct.tolist() == [3]


def test_mean_of_step_functions() -> None:
    rng = np.random.default_rng(0)
    paths = [
        alpha_path(rng.normal(size=(30, 4)), rng.normal(size=(30, 4)), rng.integers(0, 4, 30), hi=2) for _ in range(3)
    ]
    points, means = mean_path(paths)
    at = rng.uniform(0, 2, 200)
    expected = np.mean([path.accuracy(at) for path in paths], axis=0)
    np.testing.assert_allclose(means[np.searchsorted(points, at, side="right") - 1], expected)


def test_the_table_shows_regime_seeds_and_what_was_chosen(search: Any) -> None:
    found = search("taskres", {"alpha": (0.1, 0.9), "lr": (0.3,)}, shots=[1, 2])
    text = printed(found)
    assert text.startswith("search taskres · shapes-tiny · tiny (local) · select: support · seeds 1, 2")
    line = found.lines[1]
    assert f"{100 * line.chosen:.2f} ± {100 * line.chosen_std:.2f}" in text
    assert line.chosen == pytest.approx(np.mean([best["test"]["chosen"] for best in found.best[2:]]))
    assert list(line.settings) == ["alpha"]  # what has one value needs no column
    assert "With 1 shot a class nothing can be chosen" in text
    assert "test labels chose nothing" in text


def test_oracle_and_one_seed_are_shouted(search: Any) -> None:
    found = search("tip", {"alpha": (0.0, 4.0)}, select="oracle", seeds=[3], plot=None)
    for text in (printed(found), found.picture.read_text()):
        assert "select: ORACLE · ONE SEED (3)" in text
    assert found.to_json()["notes"][0].startswith("ORACLE: ")
    assert not any("chose nothing" in note for note in found.notes)


def test_a_grid_that_is_too_narrow_is_told(search: Any) -> None:
    narrow = search("taskres", {"lr": (1e-6, 1e-5, 0.1), "epochs": (10,)}, select="val").notes
    assert any("the largest lr tried, 0.1, was among the best" in note for note in narrow)
    # Zero-shot is the end of what there is, and an alpha that changes nothing asks for no other.
    flat = search("taskres", {"alpha": (0.0, 0.1), "lr": (1e-9,)}).notes
    assert not any("among the best" in note for note in flat)


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
def test_the_picture(search: Any, method: str, grid: Any, name: str, words: list[str]) -> None:
    found = search(method, grid, shots=[1, 2, 4])
    assert found.picture == found.folder / f"{name}.svg"
    text = found.picture.read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    for word in ("2 shots", "4 shots", "select: support", "diamonds: chosen", *words):
        assert word in text
    assert "1 shot<" not in text


def test_a_png(search: Any, tmp_path: Path) -> None:
    found = search("tip", {"alpha": (0.0, 6.0)}, plot=tmp_path / "deep" / "curve.png")
    assert found.to_json()["files"]["picture"] == str(tmp_path / "deep" / "curve.png")
    with Image.open(tmp_path / "deep" / "curve.png") as picture:
        assert picture.size == (1290, 930)


def test_options_over_seeds() -> None:
    assert over_seeds([0.2, 0.2]) == "0.2"
    assert over_seeds([0.5, 0.1, 0.2]) == "0.1–0.5"
    assert over_seeds(["shrunk", "class-mean", "shrunk"]) == "class-mean, shrunk"
    assert over_seeds([None, 50]) == "50, none"
    assert over_seeds([]) == "–"


def test_progress_tells_count_rate_and_time_left(search: Any, capsys: pytest.CaptureFixture[str]) -> None:
    search("taskres", {"lr": (0.1, 0.2)}, progress=True)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "search: 8 trainings: 2 settings of 2 draws"
    assert told[-1].startswith("search: 8/8 trainings, ")
    assert told[-1].endswith("a second, 0:00 left")
    search("taskres", {"lr": (0.1, 0.2)})
    assert capsys.readouterr().err == ""


def test_time_left_counts_rows(make_cache: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from adapters.search.draws import draw_all

    draws = draw_all(make_cache(), [2, 8], [1], "val", allow_fewer=False, prompts=None)
    clock = iter([0.0, 10.0])
    monkeypatch.setattr("adapters.search.progress.time.monotonic", lambda: next(clock))
    reporter = TrialReporter(draws, 1, shown=False)
    reporter.ended(Trial(0, 0, 0))
    assert reporter._rate() == "0.1 a second, 0:40 left"  # 8 rows took 10 seconds; 32 are ahead
    assert dict(reporter.seconds) == {2: 10.0}


def test_a_grid_asks_only_what_the_method_takes() -> None:
    grid = Grid.of("clip", {"alpha": (0.5, 1.0)})
    assert grid.takes("alpha", 0.9)
    assert not grid.takes("alpha", 1.1)
    assert Grid.of("taskres", {"alpha": (0.5, 1.0)}).takes("alpha", 1.1)
