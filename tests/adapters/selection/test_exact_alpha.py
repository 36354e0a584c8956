"""The exact alpha path against brute force in rational arithmetic, and on the heads it is for."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from adapters import ClipAdapter, TipAdapter
from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.selection.beta_search import refine
from adapters.selection.exact_alpha import AlphaPath, alpha_path, alpha_path_blocks
from adapters.support import Support
from tests.golden_files import golden

DATA, SUPPORT, TEXT = golden("data", "support", "text_weights")

Problem = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Small whole numbers: ties, equal slopes, equal columns and duplicate rows come often."""
    rows, classes, most = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 5))
    numbers = st.lists(st.integers(-most, most), min_size=rows * classes, max_size=rows * classes)
    base, delta = (np.array(draw(numbers), dtype=np.float32).reshape(rows, classes) for _ in range(2))
    return base, delta, np.array(draw(st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows)))


def _right(problem: Problem, alpha: Fraction) -> int:
    """Right answers at alpha, in rational arithmetic."""
    count = 0
    for a, b, label in zip(*(part.tolist() for part in problem), strict=True):
        logits = [Fraction(x) + alpha * Fraction(d) for x, d in zip(a, b, strict=True)]
        count += logits.index(max(logits)) == label
    return count


def _ends(problem: Problem, lo: int, hi: int) -> list[Fraction]:
    """Every alpha in [lo, hi] where two classes of a row meet, and both ends of the range."""
    found = {Fraction(lo), Fraction(hi)}
    for a, b in zip(problem[0].tolist(), problem[1].tolist(), strict=True):
        for c in range(len(a)):
            found |= {Fraction(a[c] - a[j]) / Fraction(b[j] - b[c]) for j in range(c) if b[j] != b[c]}
    return sorted(x for x in found if lo <= x <= hi)


@settings(max_examples=400, deadline=None)
@given(problem=problems(), lo=st.integers(-3, 1), width=st.integers(0, 4))
def test_curve_is_brute_force_at_before_after_and_between_all_breakpoints(
    problem: Problem, lo: int, width: int
) -> None:
    hi = lo + width
    path = alpha_path(*problem, lo=lo, hi=hi)
    ends = _ends(problem, lo, hi)
    at = {float(x): x for x in ends}
    for x in ends:
        at |= {y: Fraction(y) for y in (np.nextafter(float(x), -9), np.nextafter(float(x), 9)) if lo <= y <= hi}
    at |= {float(x + y) / 2: Fraction(float(x + y) / 2) for x, y in pairwise(ends)}
    alphas = np.array(sorted(at))
    truth = np.array([_right(problem, at[x]) for x in sorted(at)])

    np.testing.assert_array_equal(path.accuracy(alphas), truth / len(problem[2]))
    assert {float(x) for x in path.breakpoints} <= set(alphas)
    assert path.best.accuracy == truth.max() / len(problem[2])
    inside = ((path.best_intervals[:, :1] <= alphas) & (alphas <= path.best_intervals[:, 1:])).any(0)
    np.testing.assert_array_equal(inside, truth == truth.max())
    widths = path.best_intervals[:, 1] - path.best_intervals[:, 0]
    assert path.best.hi - path.best.lo == widths.max()
    assert path.best.lo <= path.best.alpha <= path.best.hi


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1 << 30), rows=st.integers(1, 60), classes=st.integers(2, 9))
def test_real_logits_agree_with_float64_evaluation(seed: int, rows: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    base, delta = (rng.normal(size=(rows, classes)).astype(np.float32) for _ in range(2))
    y = rng.integers(classes, size=rows)
    path = alpha_path(base, delta, y, hi=3.0)
    alphas = np.concatenate([rng.uniform(0, 3, 50), [0, 3], (path.breakpoints[1:] + path.breakpoints[:-1]) / 2])
    logits = base.astype(np.float64) + alphas[:, None, None] * delta.astype(np.float64)
    np.testing.assert_array_equal(path.accuracy(alphas), (logits.argmax(2) == y).mean(1))
    np.testing.assert_array_equal(path.accuracy(path.breakpoints), path.accuracies)
    assert len(path.breakpoints) <= 2 * rows + 1
    assert (np.diff(path.correct) != 0).all()  # only real changes are breakpoints


def _one(base: list[float], delta: list[float], y: int, **within: float) -> AlphaPath:
    return alpha_path(np.array([base]), np.array([delta]), np.array([y]), **within)


def test_ends_are_closed_where_argmax_gives_the_tie_to_the_label() -> None:
    wins_tie = _one([0, 1], [2, 0], 0)  # 2 alpha against 1: class 0 is the first of equals
    assert wins_tie.best[:3] == (1.0, 0.5, 10.0)
    loses_tie = _one([1, 0], [0, 2], 1)
    assert loses_tie.best.lo == np.nextafter(0.5, 1)
    assert loses_tie.accuracy(0.5) == 0.0
    falling = _one([0, -1], [-2, 0], 0)
    assert falling.best[:3] == (1.0, 0.0, 0.5)
    assert _one([-1, 0], [0, -2], 1).best.hi == np.nextafter(0.5, 0)


def test_single_point_touching_and_empty_intervals() -> None:
    # Class 0 is right from 1/2 on against class 1, and up to 1/2 against class 2.
    point = _one([0, 1, -1], [0, -2, 2], 0, hi=1.0)
    assert point.best == (1.0, 0.5, 0.5, 0.5)
    assert point.accuracy([0.25, 0.5, 0.75]).tolist() == [0, 1, 0]
    # Class 2 would need the same point but loses both ties: never right.
    never = _one([1, -1, 0], [-2, 2, 0], 2, hi=1.0)
    assert never.best == (0.0, 0.0, 1.0, 0.5)
    # Two rows whose intervals share no point: as one ends the other begins, without a breakpoint.
    base, delta = np.array([[0, -1], [0, -1]]), np.array([[0, 2], [0, 2]])
    assert alpha_path(base, delta, [0, 1], hi=1.0).best == (0.5, 0.0, 1.0, 0.5)
    # Two closed intervals that share exactly one point.
    both = alpha_path(np.array([[0, -1], [0, 1]]), np.array([[0, 2], [0, -2]]), [0, 0], hi=1.0)
    assert both.best == (1.0, 0.5, 0.5, 0.5)
    assert both.best_intervals.tolist() == [[0.5, 0.5]]


def test_widest_of_several_best_intervals() -> None:
    # Right up to 1 (label 0), from 2 to 5 (label 1 against 0 and 2), so at one of two rows in both.
    base, delta = np.array([[1.0, 0, -9], [2, 0, -5]]), np.array([[0.0, 1, 0], [0, 1, 2]])
    path = alpha_path(base, delta, [0, 1], hi=10.0)
    np.testing.assert_allclose(path.best_intervals, [[0, 1], [2, 5]], rtol=1e-15)
    assert path.best.alpha == pytest.approx(3.5)


def test_the_piece_around_an_alpha() -> None:
    base, delta = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 2.0], [3.0, 0.0]])
    path = alpha_path(base, delta, [0, 0], lo=0.0, hi=1.0)  # right up to 1/2, and from 1/3 on
    for alpha in (0.0, 0.2, 0.4, 0.7, 1.0):
        lo, hi = path.piece(alpha)
        assert lo <= alpha <= hi
        assert path.accuracy(lo) == path.accuracy(alpha) == path.accuracy(hi)
    assert path.piece(0.4) == (pytest.approx(1 / 3), pytest.approx(1 / 2))
    assert path.piece(0.7)[1] == 1.0


def test_equal_slopes_and_equal_columns() -> None:
    assert _one([1, 0], [3, 3], 0).best[:3] == (1.0, 0.0, 10.0)
    assert _one([1, 0], [3, 3], 1).best[:3] == (0.0, 0.0, 10.0)
    assert _one([1, 1], [3, 3], 0).best.accuracy == 1.0  # the first of equal columns
    assert _one([1, 1], [3, 3], 1).best.accuracy == 0.0
    assert _one([1, 2], [-0.0, 0.0], 0).best.accuracy == _one([1, 2], [0.0, -0.0], 0).best.accuracy == 0.0
    assert _one([7], [-2], 0).best[:3] == (1.0, 0.0, 10.0)  # one class


def test_rows_may_repeat_come_in_blocks_and_in_any_order() -> None:
    rng = np.random.default_rng(0)
    base, delta = (rng.integers(-3, 4, (300, 5)).astype(np.float32) for _ in range(2))
    y = rng.integers(5, size=300)
    path = alpha_path(base, delta, y)
    order = rng.permutation(300)
    cuts = [slice(0, 7), slice(7, 8), slice(8, 300)]
    others = (
        alpha_path(np.tile(base, (3, 1)), np.tile(delta, (3, 1)), np.tile(y, 3)),
        alpha_path(torch.from_numpy(base[order]), torch.from_numpy(delta[order]), torch.from_numpy(y[order])),
        alpha_path_blocks((base[s], delta[s], y[s]) for s in cuts),
    )
    for other in others:
        np.testing.assert_array_equal(other.breakpoints, path.breakpoints)
        np.testing.assert_array_equal(other.accuracies, path.accuracies)
        assert other.best == path.best


def test_streaming_keeps_two_numbers_a_row() -> None:
    rows, classes, blocks = 500, 400, 20
    rng = np.random.default_rng(0)
    base, delta = (rng.random((rows, classes), dtype=np.float32) for _ in range(2))
    y = rng.integers(classes, size=rows)

    def stream() -> Iterator[Problem]:
        for _ in range(blocks):
            yield base.copy(), delta.copy(), y

    tracemalloc.start()
    path = alpha_path_blocks(stream())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.rows == rows * blocks
    assert peak < 4 * (base.nbytes + delta.nbytes)  # all of it would be 20 times that
    np.testing.assert_array_equal(path.accuracies, alpha_path(base, delta, y).accuracies)


def test_alpha_zero_is_zero_shot_and_scale_of_delta_scales_alpha() -> None:
    rng = np.random.default_rng(3)
    base, delta = (rng.normal(size=(200, 7)).astype(np.float32) for _ in range(2))
    y = rng.integers(7, size=200)
    path, wider = alpha_path(base, delta, y, hi=4.0), alpha_path(base, delta / 4, y, hi=16.0)
    assert path.accuracy(0.0) == (base.argmax(1) == y).mean()
    np.testing.assert_array_equal(wider.breakpoints, 4 * path.breakpoints)
    np.testing.assert_array_equal(wider.correct, path.correct)


def _support(shots: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


def test_tip_adapter_at_every_published_alpha() -> None:
    views, labels = _support(4)
    head = TipAdapter(beta=3.0).fit(views, labels, text=TEXT["tip"])
    X, y = DATA["val_features"], DATA["val_labels"]
    path = alpha_path(*head.parts(X), y)
    for alpha in np.arange(0, 10, 0.495):
        assert abs(path.accuracy(alpha) - head.set_params(alpha=alpha).score(X, y)) * len(y) <= 1  # float32 near-ties
    assert head.set_params(alpha=path.best.alpha).score(X, y) == pytest.approx(path.best.accuracy)


def test_clip_adapter_blend_at_fixed_weights() -> None:
    views, labels = _support(4)
    head = ClipAdapter(alpha=0.5, epochs=5).fit(views, labels, text=TEXT["tip"])
    X, y = unit(DATA["test_features"]), DATA["test_labels"]
    text = Support.check(views, labels, TEXT["tip"]).text
    adapted = np.maximum(np.maximum(X @ head.w1_.T, 0) @ head.w2_.T, 0)
    path = alpha_path(X @ text.T, (adapted - X) @ text.T, y, hi=1.0)
    for alpha in np.linspace(0, 1, 21):
        assert abs(path.accuracy(alpha) - head.set_params(alpha=alpha).score(X, y)) * len(y) <= 1  # float32 near-ties
    assert len(path.breakpoints) > 10  # the blend matters here: the comparison above is not one of constants


def test_beta_search_finds_an_isolated_maximum_and_tries_few() -> None:
    tried: list[float] = []

    def right(beta: float) -> int:
        return int(100 * np.exp(-((beta - 6.37) ** 2)) + 50 * np.exp(-((beta - 2) ** 2)))

    def best_at(some: Sequence[float]) -> list[int]:
        tried.extend(some)
        return [right(beta) for beta in some]

    betas = np.linspace(0.1, 12, 200)
    refine(best_at, betas, stride=16)
    assert max(map(right, tried)) == max(map(right, betas))
    assert len(tried) == len(set(tried)) < 60
    tried.clear()
    refine(best_at, betas, stride=1)
    assert tried == betas.tolist()
    tried.clear()
    refine(best_at, [0.7], stride=16)
    assert tried == [0.7]


@pytest.mark.parametrize(
    ("base", "delta", "y", "within", "message"),
    [
        ([[1.0, 2]], [[1.0, 2, 3]], [0], {}, r"base has shape \(1, 2\) and delta \(1, 3\)"),
        ([1.0, 2], [1.0, 2], [0], {}, "base has shape"),
        ([[1.0, np.nan]], [[1.0, 2]], [0], {}, "base holds NaN, infinity"),
        ([[1.0, 2]], [[1.0, np.inf]], [0], {}, "delta holds NaN, infinity"),
        (np.zeros((0, 2)), np.zeros((0, 2)), [], {}, "base is empty"),
        ([[1.0, 2]], [[1.0, 2]], [2], {}, "y spans 2..2"),
        ([[1.0, 2]], [[1.0, 2]], [0, 1], {}, "y has shape"),
        ([[1.0, 2]], [[1.0, 2]], [0], {"lo": 2.0, "hi": 1.0}, "lo=2 and hi=1"),
        ([[1.0, 2]], [[1.0, 2]], [0], {"hi": np.inf}, "expected finite"),
    ],
)
def test_errors_name_what_was_given(
    base: object, delta: object, y: object, within: dict[str, float], message: str
) -> None:
    with pytest.raises(AdapterError, match=message):
        alpha_path(base, delta, y, **within)


def test_alphas_outside_the_range_and_no_blocks() -> None:
    path = alpha_path([[1.0, 0]], [[0.0, 1]], [0], hi=2.0)
    assert isinstance(path.accuracy(1), float)
    assert path.accuracy(np.ones((2, 3))).shape == (2, 3)
    for outside in (2.5, -0.1, np.nan, [0.0, 3.0]):
        with pytest.raises(AdapterError, match="this path covers 0 to 2"):
            path.accuracy(outside)
    with pytest.raises(AdapterError, match="no rows"):
        alpha_path_blocks([])
