"""Certified predictions against the votes of all keys in float64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.arrays import Floats, Ints, unit
from adapters.heads.tip import certified, class_moments
from adapters.heads.tip.certified import Found, certified_logits, certify, product_error, vote_bounds
from adapters.heads.tip.class_moments import ClassMoments
from adapters.heads.tip.key_cache import KeyCache

CPU = torch.device("cpu")


class Problem(NamedTuple):
    """Keys (N, D) with labels (N,) of some of C classes, queries (5, D), zero-shot logits (5, C)."""

    keys: Floats
    labels: Ints
    queries: Floats
    base: Floats

    @property
    def moments(self) -> ClassMoments:
        return ClassMoments.of(self.keys, self.labels, self.base.shape[1])

    def votes(self, beta: float) -> np.ndarray:
        sharpened = np.exp(-beta * (1 - self.queries.astype(np.float64) @ self.keys.astype(np.float64).T))
        return sharpened @ np.eye(self.base.shape[1])[self.labels]

    def found(self, neighbours: int) -> Found:
        affinity = self.queries @ self.keys.T
        nearest = np.argsort(-affinity, axis=1)[:, :neighbours]
        return Found(np.take_along_axis(affinity, nearest, 1), self.labels[nearest])


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Clustered or spread keys, of norm 1 or not, some of them the same; zero-shot logits with ties."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, dim, classes = draw(st.integers(1, 60)), draw(st.integers(1, 16)), draw(st.integers(1, 5))
    keys = rng.standard_normal((1, dim)) + draw(st.sampled_from([0.05, 0.3, 1.0])) * rng.standard_normal((count, dim))
    keys = keys[rng.integers(draw(st.integers(1, count)), size=count)].astype(np.float32)
    keys = unit(keys) if draw(st.booleans()) else keys / np.float32(np.linalg.norm(keys, axis=1).max())
    noise = draw(st.sampled_from([0.0, 0.1, 1.0])) * rng.standard_normal((5, dim))
    queries = unit((keys[rng.integers(count, size=5)] + noise).astype(np.float32))
    base = draw(st.sampled_from([0.0, 1.0, 100.0])) * rng.standard_normal((5, classes))
    return Problem(keys, rng.integers(classes, size=count), queries, np.round(base).astype(np.float32))


many = settings(max_examples=150, deadline=None)
betas = st.sampled_from([0.0, 0.1, 1.0, 5.5, 20.0, 100.0])


@many
@given(problems(), betas, st.integers(0, 70), st.sampled_from([1, 16]))
def test_votes_lie_within_the_bounds(problem: Problem, beta: float, neighbours: int, share: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(class_moments, "SHARE", share)  # 16 keeps a single eigenvector of these small classes
        moments = problem.moments
    found = problem.found(neighbours) if neighbours else None
    bounds, votes = vote_bounds(moments, problem.queries, beta, found), problem.votes(beta)
    assert (bounds.lower <= votes * (1 + 1e-9)).all()
    assert (votes <= bounds.upper * (1 + 1e-9)).all()
    assert ((bounds.lower <= bounds.estimate) & (bounds.estimate <= bounds.upper)).all()
    if found is not None:  # never looser than what keys beyond the k-th may vote by their number alone
        nearest = np.exp(-beta * (1 - found.cosines.astype(np.float64)))
        known, counted = (
            np.stack([np.bincount(c, w, minlength=problem.base.shape[1]) for c, w in zip(found.labels, v, strict=True)])
            for v in (nearest, np.ones_like(nearest))
        )
        assert (bounds.upper <= (known + (moments.counts - counted) * nearest[:, -1:]) * np.exp(beta * 1e-4)).all()


@many
@given(problems(), betas, st.integers(0, 70), st.sampled_from([0.0, 1e-3, 1.0, 1e3, 1e6]))
def test_what_is_certified_is_the_largest_logit_of_all_keys(
    problem: Problem, beta: float, neighbours: int, alpha: float
) -> None:
    found = problem.found(neighbours) if neighbours else None
    certificate = certify(
        problem.moments, problem.queries, problem.base, alpha=alpha, beta=beta, base_error=0.0, found=found
    )
    logits = problem.base.astype(np.float64) + alpha * problem.votes(beta)
    others = np.sort(logits, axis=1)
    alone = np.ones(5, bool) if logits.shape[1] == 1 else others[:, -1] > others[:, -2]
    assert alone[certificate.proven].all()  # a tie is never certified
    np.testing.assert_array_equal(
        certificate.logits.argmax(1)[certificate.proven], logits.argmax(1)[certificate.proven]
    )


@pytest.mark.parametrize("neighbours", [0, 3, 20])
def test_classes_of_the_same_keys_tie_and_are_not_certified(neighbours: int) -> None:
    rng = np.random.default_rng(0)
    keys, queries = (unit(rng.standard_normal((n, 8)).astype(np.float32)) for n in (10, 5))
    tied = Problem(np.repeat(keys, 2, axis=0), np.arange(20) % 2, queries, np.zeros((5, 2), np.float32))
    found = tied.found(neighbours) if neighbours else None
    for margin in (0.0, 1e-7, 1e-6):  # less than float32 knows of ten votes
        base = tied.base + np.float32([0, margin])
        found_any = certify(tied.moments, queries, base, alpha=1.0, beta=1.0, base_error=0.0, found=found).proven
        assert not found_any.any()
    clear = tied.base + np.float32([0, 30])
    assert certify(tied.moments, queries, clear, alpha=1.0, beta=1.0, base_error=0.0, found=found).proven.all()
    assert not certify(tied.moments, queries, clear, alpha=1.0, beta=1.0, base_error=15.0, found=found).proven.any()


def test_margins_within_the_rounding_of_float32_sums_are_not_certified() -> None:
    """A thousand equal votes are known exactly here, but a float32 sum of them is not."""
    key = unit(np.float32([[3, 4]]))
    tied = Problem(np.repeat(key, 2000, axis=0), np.arange(2000) % 2, key, np.zeros((1, 2), np.float32))
    for margin, proven in ((0.05, False), (1.0, True)):
        base = tied.base + np.float32([0, margin])
        assert certify(tied.moments, key, base, alpha=1.0, beta=0.1, base_error=0.0).proven == proven


def test_bounds_meet_where_nothing_is_unknown() -> None:
    rng = np.random.default_rng(1)
    keys = unit(rng.standard_normal((30, 8)).astype(np.float32))
    problem = Problem(keys, np.arange(30) % 3, keys[:5], np.zeros((5, 3), np.float32))
    every = vote_bounds(problem.moments, problem.queries, 5.5, problem.found(30))
    np.testing.assert_allclose(every.lower, every.upper, rtol=1e-4)
    same = problem._replace(keys=keys[problem.labels])  # a class's keys are all one
    alike = vote_bounds(same.moments, same.queries, 5.5)
    np.testing.assert_allclose(alike.lower, same.votes(5.5), rtol=1e-4)
    np.testing.assert_allclose(alike.upper, same.votes(5.5), rtol=1e-4)


@pytest.mark.filterwarnings("error")
def test_numbers_out_of_range_certify_nothing() -> None:
    keys = 3 * unit(np.random.default_rng(2).standard_normal((30, 8)).astype(np.float32))
    queries, base = unit(keys[:5]), np.zeros((5, 2), np.float32)
    moments = ClassMoments.of(keys, np.arange(30) % 2, 2)
    for beta in (100.0, 1e6, 1e300):
        assert not certify(moments, queries, base, alpha=1e30, beta=beta, base_error=0.0).proven.any()


@pytest.mark.parametrize("share", [1, 16, 10_000])
def test_moments_are_those_of_the_affinities(share: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_moments, "SHARE", share)
    monkeypatch.setattr(class_moments, "ROWS", 32)
    rng = np.random.default_rng(3)
    keys = rng.standard_normal((300, 6)).astype(np.float32) * np.float32([4, 2, 1, 1, 0.5, 0.1])
    labels = np.concatenate([np.zeros(200, int), np.full(97, 1), np.full(3, 3)])  # class 2 has no keys, class 3 few
    queries = rng.standard_normal((4, 6))
    along = ClassMoments.of(keys, labels, 4).along(queries)
    affinity = queries @ keys.astype(np.float64).T
    for code in (0, 1, 3):
        own = affinity[:, labels == code]
        np.testing.assert_allclose(along.total[:, code], own.sum(1), rtol=1e-10)
        np.testing.assert_allclose(along.centre[:, code], own.mean(1), rtol=1e-10)
        spread = ((own - own.mean(1, keepdims=True)) ** 2).sum(1)
        if share == 1:
            np.testing.assert_allclose(along.scatter[:, code], spread, rtol=1e-9)
        else:
            assert (along.scatter[:, code] >= spread * (1 - 1e-9)).all()
        assert (along.likely[:, code] <= along.scatter[:, code] * (1 + 1e-9)).all()
        assert (along.most[:, code] >= own.max(1)).all()
    assert (along.total[:, 2] == 0).all()
    assert (along.scatter[:, 2] == 0).all()


def test_the_estimate_of_the_scatter_spreads_what_is_not_kept_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_moments, "SHARE", 10_000)  # a single eigenvector is kept
    rng = np.random.default_rng(5)
    keys, queries = rng.standard_normal((3000, 20)).astype(np.float32), rng.standard_normal((50, 20))
    along = ClassMoments.of(keys, np.zeros(3000, int), 1).along(queries)
    spread = (queries @ keys.astype(np.float64).T).var(1) * 3000
    np.testing.assert_allclose(along.likely[:, 0], spread, rtol=0.15)
    assert (along.scatter[:, 0] > 1.05 * along.likely[:, 0]).mean() > 0.9


def _cache(count: int, classes: int = 5) -> tuple[KeyCache, Floats, Floats]:
    rng = np.random.default_rng(4)
    means = rng.standard_normal((classes, 16))
    labels = rng.integers(classes, size=count)
    keys = unit((means[labels] + 2 * rng.standard_normal((count, 16)) + 3).astype(np.float32))
    queries = unit((means[rng.integers(classes, size=200)] + 2 * rng.standard_normal((200, 16)) + 3).astype(np.float32))
    return KeyCache(keys, labels, classes, CPU), queries, (queries @ unit(means.astype(np.float32)).T)


@pytest.mark.parametrize("neighbours", [0, 300])
def test_estimates_are_near_the_votes_of_normal_affinities(neighbours: int) -> None:
    cache, queries, _ = _cache(6000)
    found = None
    if neighbours:
        ((_, cosines, keys),) = cache.nearest(queries, neighbours)
        found = Found(cosines, cache.labels[keys])
    bounds, votes = vote_bounds(cache.moments, queries, 3.0, found), cache.votes(queries, 3.0)
    off, middle = (np.abs(x / votes - 1).max() for x in (bounds.estimate, (bounds.lower + bounds.upper) / 2))
    assert off < min(0.01, middle / 2)


@pytest.mark.parametrize("beta", [1.0, 5.5, 20.0])
def test_every_row_is_certified_or_computed_over_all_keys(beta: float) -> None:
    cache, queries, base = _cache(3000)
    dense = base + np.float32(0.05) * cache.votes(queries, beta)
    shares = []
    for neighbours in (0, 30, 600, 2999):
        found = certified_logits(
            cache, queries, base, alpha=0.05, beta=beta, base_error=product_error(18, 1.0), neighbours=neighbours
        )
        np.testing.assert_array_equal(found.logits.argmax(1), dense.argmax(1))
        np.testing.assert_allclose(found.logits[~found.certified], dense[~found.certified], rtol=1e-5, atol=1e-5)
        assert not (found.by_moments & found.by_neighbours).any()
        assert found.by_neighbours.any() == (neighbours > 0)
        shares.append(found.certified.mean())
    assert shares == sorted(shares)
    assert shares[-1] > 0.98  # all keys but one are known then
    everything = certified_logits(cache, queries, base, alpha=0.05, beta=beta, base_error=0.0, neighbours=3000)
    np.testing.assert_array_equal(everything.logits, dense)
    assert not everything.certified.any()


def test_blocks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, queries, base = _cache(3000)

    def run() -> tuple[Floats, np.ndarray]:
        found = certified_logits(cache, queries, base, alpha=0.05, beta=5.5, base_error=1e-5, neighbours=50)
        return found.logits, found.by_neighbours

    whole = run()
    monkeypatch.setattr(certified, "BLOCK", 500)
    parts = run()
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-5)
    np.testing.assert_array_equal(parts[1], whole[1])
