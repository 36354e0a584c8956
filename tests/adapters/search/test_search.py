"""A search trains, compares and chooses what one training at a time would, and never by test labels."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from adapters import CrossModal, Task, TaskRes, TipAdapter, TipAdapterF
from adapters.arrays import unit
from adapters.errors import AdapterError, TaskError
from adapters.fitting.fit import fit
from adapters.head import Head
from adapters.selection.held_out import held_out_splits
from adapters.selection.regimes import REGIMES
from adapters.support import Support
from adapters.training.trained_head import InTraining
from tests.adapters.conftest import SEARCH_GRID

Make = Callable[..., Any]


def splits_of(cache: Any, shots: int, seed: int, select: str) -> list[tuple[Any, Any, Any, Any]]:
    """What to fit on and what to score on, by hand."""
    task = Task.sample(cache, shots=shots, seed=seed)
    held = REGIMES[select].held_out(task)
    if held is not None:
        return [(task.support.inputs, task.support.labels, *held)]
    support = Support.check(task.support.inputs, task.support.labels, task.text)
    return [(kept.views, kept.labels, out.features, out.labels) for kept, out in held_out_splits(support, None, 2)]


def count(head: Head, cache: Any, shots: int, seed: int, select: str) -> int:
    """Right answers of one head at a time."""
    return sum(
        int((head.fit(X, y, text=cache.text).predict(rows) == labels).sum())
        for X, y, rows, labels in splits_of(cache, shots, seed, select)
    )


@pytest.mark.parametrize("select", ["support", "val-kshot", "val", "oracle"])
def test_the_grid_is_what_one_training_at_a_time_gives(search: Any, make_cache: Make, select: str) -> None:
    found, cache = search(select=select), make_cache()
    settings = [
        {"lr": lr, "epochs": 6, "alpha": alpha} for lr, alpha in product(SEARCH_GRID["lr"], SEARCH_GRID["alpha"])
    ]
    assert [row["chosen"] for row in found.rows].count(True) == 4
    for shots, seed in product((2, 4), (1, 2)):
        rows = [row for row in found.rows if (row["shots"], row["seed"]) == (shots, seed)]
        counts = [count(TaskRes(**s, seed=seed, logit_scale=20.0), cache, shots, seed, select) for s in settings]
        assert [{name: row[name] for name in settings[0]} for row in rows] == settings
        assert [round(row["selection_accuracy"] * row["selection_rows"]) for row in rows] == counts
        chosen = next(i for i, row in enumerate(rows) if row["chosen"])
        assert counts[chosen] == max(counts)
        asked = {"method": "taskres", "cache": cache, "shots": shots, "seed": seed, "select": "none"}
        asked["out"] = found.folder / "run"
        report = fit(params=settings[chosen], **asked)
        assert rows[chosen]["test_accuracy"] == report.accuracy["test"]
        assert all(row["test_accuracy"] is None for row in rows if not row["chosen"])
        best = next(best for best in found.best if (best["shots"], best["seed"]) == (shots, seed))
        assert best["hyperparameters"] == settings[chosen]
        default = fit(**asked).accuracy
        assert best["test"] == {
            "zero_shot": default["zero_shot"],
            "default": default["test"],
            "chosen": report.accuracy["test"],
        }


@pytest.mark.parametrize("select", ["support", "val"])
def test_alpha_is_exact_where_only_prediction_sees_it(search: Any, make_cache: Make, select: str) -> None:
    found, cache = search("tip", {"alpha": (0.5, 8.0), "beta": (1.0, 5.5)}, select=select), make_cache()
    assert found.trainings == 2 * 4 * (2 if select == "support" else 1)  # no alpha is fitted
    for row in found.rows:
        exact = round(row["selection_accuracy"] * row["selection_rows"])
        counts = dict.fromkeys([*np.linspace(0.5, 8, 40), row["alpha"]], 0)
        for X, y, rows, labels in splits_of(cache, row["shots"], row["seed"], select):
            head = TipAdapter(beta=row["beta"], logit_scale=20.0).fit(X, y, text=cache.text)
            for alpha in counts:
                counts[alpha] += int((head.set_params(alpha=alpha).predict(rows) == labels).sum())
        assert counts[row["alpha"]] == exact
        assert max(counts.values()) == exact
        inside = (row["alpha_lo"] <= alpha <= row["alpha_hi"] for alpha in counts)
        assert all(counts[alpha] == exact for alpha, within in zip(counts, inside, strict=True) if within)
        assert 0.5 <= row["alpha_lo"] <= row["alpha"] <= row["alpha_hi"] <= 8.0


def test_keys_are_trained_with_the_default_alpha(search: Any, make_cache: Make) -> None:
    found, cache = search("tip-f", {"alpha": (0.0, 6.0), "lr": (1e-3, 1e-2), "epochs": (3,)}), make_cache()
    for best in found.best:
        asked = best["hyperparameters"]
        assert asked["train_alpha"] == TipAdapterF().alpha
        report = fit(
            "tip-f", cache=cache, shots=best["shots"], seed=best["seed"], params=asked, out=found.folder / "run"
        )
        assert report.accuracy["test"] == best["test"]["chosen"]


def test_alpha_is_trained_where_training_sees_it(search: Any) -> None:
    found = search(shots=[2], seeds=[1])
    assert found.to_json()["alpha"] == "grid"
    assert found.trainings == 2 * 8
    assert {row["alpha"] for row in found.rows} == set(SEARCH_GRID["alpha"])


def test_a_layer_that_only_prediction_blends_is_trained_once(search: Any, make_cache: Make) -> None:
    grid = {"alpha": tuple(np.linspace(0, 1, 21).tolist()), "lr": (1e-2, 1e-1), "iterations": (30,)}
    found, cache = search("cross-modal", grid, select="val"), make_cache()
    assert (found.trainings, found.to_json()["alpha"]) == (2 * 4, "exact")
    for row in found.rows:
        settings = {"lr": row["lr"], "iterations": 30, "seed": row["seed"], "logit_scale": 20.0}
        counts = [
            count(CrossModal(alpha=alpha, **settings), cache, row["shots"], row["seed"], "val")
            for alpha in (0.05, row["alpha"], 0.95)
        ]
        assert max(counts) == counts[1] == round(row["selection_accuracy"] * row["selection_rows"])


@pytest.mark.parametrize("select", ["support", "val"])
@pytest.mark.parametrize("of_training", [{}, {"train_alpha": (0.2,)}])
def test_a_training_that_diverges_ends_no_search(search: Any, select: str, of_training: dict[str, Any]) -> None:
    grid = {"alpha": (0.1, 0.5, 1.0), "lr": (0.1, 1e6, 1e30), "epochs": (5,), **of_training}
    found = search("clip", grid, select=select)
    assert {best["hyperparameters"]["lr"] for best in found.best} == {0.1}
    # Not 0: rows that no unit of the bottleneck is active for keep their zero-shot logits.
    worst_chosen = min(row["selection_accuracy"] for row in found.rows if row["chosen"])
    assert max(row["selection_accuracy"] for row in found.rows if row["lr"] > 1) < worst_chosen


def test_keys_that_are_large_but_finite_end_no_search(search: Any) -> None:
    rates = (1e-3, 0.1, 0.2, 0.5, 2.0, 10.0)
    found = search("tip-f", {"alpha": (0.5, 10.0), "lr": rates}, select="val")
    assert {row["lr"] for row in found.rows} == set(rates)


def test_test_labels_choose_nothing(search: Any, make_cache: Make) -> None:
    shuffled = make_cache()
    shuffled.parts["test"].labels = np.random.default_rng(0).permutation(shuffled.parts["test"].labels)
    tip = {"alpha": (0.0, 8.0), "beta": (1.0, 5.5)}
    for method, grid, select in (
        ("taskres", SEARCH_GRID, "support"),
        ("taskres", SEARCH_GRID, "val"),
        ("tip", tip, "val-kshot"),
    ):
        honest, other = search(method, grid, select=select), search(method, grid, select=select, cache=shuffled)
        left, right = (
            [{k: v for k, v in row.items() if k not in ("test_accuracy", "cache_digest")} for row in found.rows]
            for found in (honest, other)
        )
        assert left == right
        assert honest.best != other.best  # but the accuracies are of the labels that are there
    assert search("taskres", select="oracle").best != search("taskres", select="oracle", cache=shuffled).best


def test_nothing_can_be_chosen_from_one_shot(search: Any, make_cache: Make) -> None:
    found = search(shots=[1, 2], seeds=[1])
    row, *others = found.rows
    assert (row["shots"], row["alpha"], row["lr"], row["epochs"]) == (1, TaskRes().alpha, TaskRes().lr, 6)
    assert (row["selection_accuracy"], row["selection_rows"], row["chosen"]) == (None, 0, True)
    assert all(other["shots"] == 2 for other in others)
    assert any(note.startswith("With 1 shot a class nothing can be chosen") for note in found.notes)
    assert found.lines[0].selection is None
    report = fit("taskres", cache=make_cache(), shots=1, params={"epochs": 6}, out=found.folder / "run", select="none")
    assert row["test_accuracy"] == report.accuracy["test"]
    only = search(shots=[1], seeds=[1])
    assert (only.trainings, len(only.rows)) == (0, 1)
    assert only.picture.exists()
    assert search(shots=[1], seeds=[1], select="val-kshot").trainings == 8  # here there are rows to choose on


@pytest.mark.parametrize("select", ["support", "val"])
def test_halving_keeps_the_best_third_of_each_draw(search: Any, make_cache: Make, select: str) -> None:
    grid = {"alpha": tuple(np.linspace(0, 2, 9)), "lr": (0.02, 0.3, 0.01), "epochs": (18,), "batch_size": (2,)}
    whole, halved = search(grid=grid, select=select), search(grid=grid, select=select, halving=True)
    stopped_at = [row["stopped_at"] for row in halved.rows]
    rows_of = {shots: 4 * shots // (2 if select == "support" else 1) for shots in (2, 4)}
    steps = {shots: 18 * rows // 2 for shots, rows in rows_of.items()}
    assert {row["stopped_at"] for row in halved.rows if row["shots"] == 2} <= {None, steps[2] // 9, steps[2] // 3}
    assert 0 < stopped_at.count(None) < 0.6 * len(stopped_at)  # ties go on
    for row, full in zip(halved.rows, whole.rows, strict=True):
        assert not (row["chosen"] and row["stopped_at"])
        if row["stopped_at"] is None:
            assert row["selection_accuracy"] == full["selection_accuracy"]
    # The first rung, by hand: one training at a time, up to a ninth.
    settings, cache = whole.grid.settings, make_cache()
    for shots, seed in product((2, 4), (1, 2)):
        counts = []
        for setting in settings:
            right = 0
            for X, y, features, labels in splits_of(cache, shots, seed, select):
                head, support = TaskRes(**setting, seed=seed, logit_scale=20.0), Support.check(X, y, cache.text)
                training = InTraining([head], [support])
                stack = training.stack
                stack.advance(steps[shots] // 9)
                training.finish()
                right += int((head._logits(unit(features)).argmax(1) == labels).sum())
            counts.append(right)
        least = sorted(counts, reverse=True)[(len(counts) - 1) // 3]
        rows = [row for row in halved.rows if (row["shots"], row["seed"]) == (shots, seed)]
        for row, score in zip(rows, counts, strict=True):
            assert (row["stopped_at"] == steps[shots] // 9) == (score < least)
            if score < least:
                assert round(row["selection_accuracy"] * row["selection_rows"]) == score


@pytest.mark.parametrize("at", [3, 14, 28])
def test_interrupted_halving_goes_on_and_finds_the_same(search: Any, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """At the first rung of the first draws, in their last stretch, and among the draws of more shots."""
    from adapters.search import files, halving, progress

    monkeypatch.setattr(files, "SECONDS_BETWEEN", 0.0)
    grid = {"alpha": (0.0, 0.5, 1.0, 2.0), "lr": (0.3, 0.01), "epochs": (6, 12)}
    undisturbed = search(grid=grid, halving=True)
    ended = progress.TrialReporter.ended
    told: list[Any] = []

    def interrupt(self: Any, trial: Any) -> None:
        ended(self, trial)
        told.append(trial)
        if len(told) == at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(progress.TrialReporter, "ended", interrupt)
        with pytest.raises(KeyboardInterrupt):
            search(grid=grid, halving=True)
    begun: list[int] = []
    blocks_of = halving.blocks_of

    def counted(heads: Any, supports: Any) -> Any:
        begun.append(len(heads))
        return blocks_of(heads, supports)

    monkeypatch.setattr(halving, "blocks_of", counted)
    again = search(grid=grid, halving=True)
    assert sum(begun) < undisturbed.trainings
    assert again.rows == undisturbed.rows


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"select": "none"}, "under which nothing is chosen; type support, val-kshot, val or oracle"),
        ({"grid": {"lr": (0.1,)}}, "nothing to choose between.*--alpha 0:1:0.05"),
        ({"grid": {}}, "nothing to choose between"),
        ({"grid": {"lr": ()}}, "--lr.*no value"),
        ({"grid": {"lrr": (0.1, 0.2)}}, "no option 'lrr'"),
        ({"grid": {"alpha": (0.1, -0.2)}}, "alpha=-0.2; expected 0 or more"),
        ({"method": "tip", "grid": {"alpha": (0.1, -0.2)}}, "alpha=-0.2; expected 0 or more"),
        (
            {"method": "tip", "grid": {"alpha": (0.1, 2.0)}, "halving": True},
            "tip is not trained in.*leave out --halving",
        ),
        ({"grid": {"lr": tuple(range(1001)), "weight_decay": tuple(range(1000))}}, "1,001,000 settings.*at most"),
        ({"plot": "alpha.pdf"}, "--plot alpha.pdf given; expected a file that ends in .svg or .png"),
        ({"shots": []}, "--shots 1,4,16 --seeds 1,2,3"),
    ],
)
def test_a_mistake_is_one_line(search: Any, options: dict[str, Any], told: str) -> None:
    with pytest.raises(AdapterError, match=told) as error:
        search(**options)
    assert "\n" not in str(error.value)


def test_what_the_cache_lacks_is_told_before_the_work(search: Any, make_cache: Make) -> None:
    with pytest.raises(TaskError, match="needs a val split"):
        search(cache=make_cache(splits=("train", "test")), select="val-kshot")
    with pytest.raises(TaskError, match="16"):
        search(shots=[2, 16])


def test_an_interrupted_search_goes_on_and_finds_the_same(search: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from adapters.search import files, trials

    undisturbed = search()
    begun: list[int] = []

    def counted(heads: Any, supports: Any) -> Any:
        begun.append(len(heads))
        return fit_supports(heads, supports)

    fit_supports = trials.fit_supports
    monkeypatch.setattr(trials, "fit_supports", counted)
    monkeypatch.setattr(files, "SECONDS_BETWEEN", 0.0)

    def interrupt(*words: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("adapters.search.search.fit_and_test", interrupt)
        with pytest.raises(KeyboardInterrupt):
            search()
    other = search(seeds=[3])
    assert begun[1] > 0
    with monkeypatch.context() as patch:
        patch.setattr("adapters.search.search.fit_and_test", interrupt)
        with pytest.raises(KeyboardInterrupt):
            search()
    begun.clear()
    again = search()
    assert begun == [0]
    assert again.rows == undisturbed.rows
    assert other.rows != again.rows
    assert not list(again.folder.glob("outcomes.json"))
