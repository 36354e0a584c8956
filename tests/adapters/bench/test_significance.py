from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from adapters.bench import significance
from adapters.bench.protocols.protocols import PROTOCOLS
from adapters.bench.significance import resampled_accuracies, seed_weights, tied_with
from adapters.bench.store import Record, Row
from adapters.bench.summary import Block, summarise

DEFAULTS = {"str": "", "int": 0, "float": 0.0, "bool": False}


def record(correct: Any, *, tested: Any = None, **row: Any) -> Record:
    right = np.asarray(correct, dtype=bool)
    mask = np.ones(len(right), dtype=bool) if tested is None else np.asarray(tested, dtype=bool)
    blank: dict[str, Any] = {field.name: DEFAULTS[str(field.type)] for field in fields(Row)}
    named = {"protocol": "few-shot", "part": "all", "cache": "c", "test_digest": "d", **row}
    content = {**blank, **named, "rows": len(right), "accuracy": float(right.mean())}
    return Record(Row(**content), {}, mask, right)


def test_resamples_follow_the_binomial_law() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(400) < 0.7
    (found,) = resampled_accuracies({"a": record(right)}, 4000).values()
    assert found.shape == (4000,)
    assert found.mean() == pytest.approx(right.mean(), abs=2e-3)
    assert found.std() == pytest.approx(np.sqrt(right.mean() * (1 - right.mean()) / 400), rel=0.05)


def test_draws_are_paired_within_a_test_split_and_not_between() -> None:
    right = np.random.default_rng(0).random(200) < 0.5
    found = resampled_accuracies(
        {"a": record(right), "same": record(right), "not": record(~right), "other": record(right, test_digest="e")}
    )
    np.testing.assert_array_equal(found["a"], found["same"])
    np.testing.assert_allclose(found["a"] + found["not"], 1, atol=1e-6)
    assert abs(np.corrcoef(found["a"], found["other"])[0, 1]) < 0.1


def test_a_part_is_its_rows_of_the_whole_split() -> None:
    right = np.random.default_rng(0).random(200) < 0.5
    mask = np.arange(200) % 3 == 0
    found = resampled_accuracies({"all": record(right), "part": record(right[mask], tested=mask)})
    assert found["part"].mean() == pytest.approx(right[mask].mean(), abs=0.01)
    assert found["part"].std() > found["all"].std()
    assert 0.3 < np.corrcoef(found["all"], found["part"])[0, 1] < 0.8  # they share a third of their rows


def test_many_results_are_drawn_in_bounded_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    records = {name: record(rng.random(50) < 0.5) for name in range(7)}
    whole = resampled_accuracies(records)
    monkeypatch.setattr(significance, "_COLUMNS", 2)
    split = resampled_accuracies(records)
    for name in records:
        np.testing.assert_array_equal(whole[name], split[name])


def test_seed_weights_are_resamples() -> None:
    weights = seed_weights(3, 500)
    np.testing.assert_allclose(weights.sum(1), 1)
    assert set(np.unique((weights * 3).round().astype(int))) == {0, 1, 2, 3}
    np.testing.assert_array_equal(seed_weights(1, 5), np.ones((5, 1)))


def test_a_tie_is_an_interval_that_reaches_zero() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=10_000)
    assert not tied_with(noise + 2.1, np.zeros(10_000))
    assert tied_with(noise + 1.8, np.zeros(10_000))
    assert tied_with(noise, noise)


def cells(rows: dict[tuple[str, int, str, int], list[Record]]) -> tuple[Block, ...]:
    return summarise(rows, list(dict.fromkeys(name[2] for name in rows)), sorted({name[3] for name in rows}))


def table(right: Callable[[str, int, int], Any], methods: str, seeds: int = 3) -> Block:
    found = {
        ("c", k, method, seed): [record(right(method, k, seed), method=method, shots=k, seed=seed)]
        for k in (1, 4)
        for seed in range(seeds)
        for method in methods
    }
    (block,) = cells(found)
    return block


def test_mean_and_sample_deviation_over_seeds() -> None:
    block = table(lambda method, k, seed: np.arange(10) < 4 + seed + (k > 1), "a")
    assert block.columns == ("1 shot", "4 shots")
    first, second = block.lines[0].entries
    assert first is not None
    assert second is not None
    assert (first.mean, second.mean) == (pytest.approx(0.5), pytest.approx(0.6))
    assert first.std == pytest.approx(0.1)
    assert first.seeds == 3


def test_one_seed_has_no_spread() -> None:
    entry = table(lambda method, k, seed: np.arange(10) < 5, "a", seeds=1).lines[0].entries[0]
    assert entry is not None
    assert entry.std is None


def test_best_tied_and_beaten() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(1000) < 0.8

    def right(method: str, k: int, seed: int) -> Any:
        flip = {"a": 0, "b": 3, "c": 150}[method]  # rows that the best has right and this one wrong
        wrong = base.copy()
        wrong[np.flatnonzero(base)[:flip]] = False
        return wrong

    lines = table(right, "abc").lines
    entries = [line.entries[0] for line in lines]
    assert [entry.best for entry in entries if entry] == [True, False, False]
    assert [entry.tied for entry in entries if entry] == [False, True, False]


def test_pairing_finds_what_the_spread_over_seeds_hides() -> None:
    def right(method: str, k: int, seed: int) -> Any:
        hard = np.arange(1000) < 500 + 150 * seed  # seeds differ by 15 points, methods by 3 in every one
        return hard & (np.arange(1000) >= (30 if method == "b" else 0))

    better, worse = (line.entries[0] for line in table(right, "ab").lines)
    assert better is not None
    assert worse is not None
    assert better.std is not None
    assert better.std > 4 * (better.mean - worse.mean) > 0
    assert not worse.tied


def test_a_method_that_lacks_a_seed_is_shown_and_not_compared() -> None:
    found = {
        ("c", 1, m, s): [record(np.arange(10) < (9 if m == "b" else 5), method=m, shots=1, seed=s)]
        for m in "ab"
        for s in (1, 2, 3)
    }
    del found["c", 1, "b", 2]
    (block,) = cells(found)
    first, second = (line.entries[0] for line in block.lines)
    assert first is not None
    assert second is not None
    assert (first.best, second.best, second.tied) == (True, False, False)
    assert (second.mean, second.seeds) == (0.9, 2)


def test_harmonic_mean_is_of_the_averages_over_seeds_and_caches() -> None:
    base = {("x", 1): 8, ("x", 2): 6, ("y", 1): 10, ("y", 2): 8}
    new = {("x", 1): 2, ("x", 2): 4, ("y", 1): 6, ("y", 2): 4}
    found = {
        (cache, 4, "m", seed): [
            record(
                np.arange(10) < base[cache, seed],
                tested=np.arange(20) < 10,
                part="base",
                protocol="base-to-new",
                test_digest=cache,
            ),
            record(
                np.arange(10) < new[cache, seed],
                tested=np.arange(20) >= 10,
                part="new",
                protocol="base-to-new",
                test_digest=cache,
            ),
        ]
        for cache, seed in base
    }
    blocks = cells(found)
    assert [block.title for block in blocks] == ["x, 4 shots", "y, 4 shots", "average of 2 caches, 4 shots"]
    assert blocks[0].columns == ("HM", "base", "new")

    def harmonic(a: float, b: float) -> float:
        return 2 * a * b / (a + b)

    means = [[entry.mean for entry in block.lines[0].entries if entry] for block in blocks]
    assert means[0] == pytest.approx([harmonic(0.7, 0.3), 0.7, 0.3])
    assert means[2] == pytest.approx([harmonic(0.8, 0.4), 0.8, 0.4])
    per_set = [harmonic(0.7, 0.3), harmonic(0.9, 0.5)]
    assert means[2][0] != pytest.approx(np.mean(per_set))  # which is another convention
    of_seeds = [harmonic(0.9, 0.4), harmonic(0.7, 0.4)]
    entry = blocks[2].lines[0].entries[0]
    assert entry is not None
    assert entry.std == pytest.approx(np.std(of_seeds, ddof=1))


def test_the_columns_of_the_other_protocols() -> None:
    values = {"task-1": np.array([0.9]), "task-2": np.array([0.6]), "task-3": np.array([0.3])}
    found = PROTOCOLS["incremental"].columns(list(values))
    assert [column.name for column in found] == ["Last", "Average", "task 1", "task 2", "task 3"]
    assert [float(column.combine(values)[0]) for column in found] == pytest.approx([0.3, 0.6, 0.9, 0.6, 0.3])
    values = {"src": np.array([0.9]), "a": np.array([0.6]), "b": np.array([0.2])}
    found = PROTOCOLS["cross-dataset"].columns(list(values))
    assert [column.name for column in found] == ["mean of targets", "src (source)", "a", "b"]
    assert [float(column.combine(values)[0]) for column in found] == pytest.approx([0.4, 0.9, 0.6, 0.2])
