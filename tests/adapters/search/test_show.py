"""The choice among equals, and how a search is shown: table, notes, picture, progress."""

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

from adapters import ZeroShot
from adapters.commands.options import parse_options
from adapters.fitting.fit import fit
from adapters.head import Rows
from adapters.search import Results, run
from adapters.search.choice import choose
from adapters.search.picture import mean_path
from adapters.search.progress import TrialReporter
from adapters.search.table import over_seeds
from adapters.search.trials import Outcome, Trial, path_of
from adapters.selection.alpha_choice import Widest
from adapters.selection.exact_alpha import alpha_path
from adapters.selection.held_out import right

Make = Callable[..., Any]


@pytest.fixture
def search(make_cache: Make, tmp_path: Path) -> Callable[..., Results]:
    def run_search(method: str, grid: Any, **options: Any) -> Results:
        asked = {"cache": make_cache(), "shots": [2], "seeds": [1, 2], "out": tmp_path / "search", **options}
        return run(method, grid, **asked)

    return run_search


def printed(results: Results, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False)
    console.print(results.table())
    return str(console.file.getvalue())  # type: ignore[attr-defined]


@pytest.mark.parametrize("select", ["support", "val"])
def test_a_trained_alpha_has_an_exact_curve_too(search: Any, select: str) -> None:
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


def test_nothing_is_cut_off_where_many_options_were_varied(search: Any) -> None:
    several = {"alpha": (0.1, 0.9), "lr": (0.1, 0.3), "weight_decay": (0.0, 1e-4), "batch_size": (4, 8)}
    found = search("taskres", {**several, "epochs": (2, 3)})
    assert printed(found).count("shots") == 1 + sum("shots" in note for note in found.notes)
    text = printed(found, width=80)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    line = found.lines[0]
    shown = ["fixed defaults", f"{100 * line.chosen:.2f} ± {100 * line.chosen_std:.2f}", *several, "epochs"]
    assert all(f" {name} " in text for name in [*shown, *map(over_seeds, line.settings.values())])


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


def test_ties_and_single_shots_are_told(search: Any) -> None:
    tied = search("taskres", {"alpha": (0.0, 0.1), "lr": (1e-9,)})
    assert any("In 2 of 2 draws no setting did better than another" in note for note in tied.notes)
    one = search("taskres", {"alpha": (0.0, 0.1)}, shots=[1])
    assert not any(note.startswith("Chosen on") for note in one.notes)
    assert one.next_command == ""


@pytest.mark.parametrize(("method", "grid"), [("tip", {"alpha": (0.0, 6.0)}), ("taskres", {"lr": (0.1, 0.2)})])
def test_the_command_to_type_next_fits_what_was_chosen(
    search: Any, make_cache: Make, tmp_path: Path, method: str, grid: Any
) -> None:
    results = search(method, grid)
    words = results.next_command.split()
    assert words[:9] == ["adapters", "fit", method, "--shots", "2", "--seed", "1", "--select", "none"]
    params = parse_options(method, words[11:])
    report = fit(method, cache=make_cache(), shots=2, seed=1, select="none", params=params, root=str(tmp_path))
    assert report.accuracy["test"] == results.best[0]["test"]["chosen"]


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
