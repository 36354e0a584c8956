"""Each block update against brute force, and what must hold of the whole."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import norm

from adapters.arrays import unit
from adapters.together.transduced import COSINES, Mixture, Transduced, affinity, independent

RNG = np.random.default_rng(3)


def sample(images: int = 20, classes: int = 4, dim: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit images, unit text that points roughly their way, logits."""
    text = unit(RNG.normal(size=(classes, dim)).astype(np.float32))
    labels = RNG.integers(classes, size=images)
    rows = unit((text[labels] + 0.5 * RNG.normal(size=(images, dim))).astype(np.float32))
    return rows, text, 5 * rows @ text.T


def objective(m: Mixture) -> float:
    """J written out, term by term, with its constants."""
    total, deviation = 0.0, np.sqrt(m.spread)
    for i, c in itertools.product(range(len(m.images)), range(len(m.text))):
        density = norm.logpdf(m.images[i], m.mu[c], deviation).sum()
        total += m.z[i, c] * (np.log(m.z[i, c]) - m.log_p[i, c] - m.likelihood * density)
    for i, j in itertools.product(range(len(m.images)), repeat=2):
        total -= 0.5 * m.pull * m.affinity[i, j] * (m.z[i] @ m.z[j])
    for c in range(len(m.text)):
        s0, s, away = m.first_spread, m.spread, m.text[c] - m.mu[c]
        total += m.likelihood * m.anchor * 0.5 * (s0 / s + away**2 / s - 1 + np.log(s / s0)).sum()
    return total


@pytest.mark.parametrize("settings", [{}, {"anchor": 7.0, "likelihood": 0.5, "pull": 3.0}, {"neighbours": 0}])
def test_the_objective_rises_in_no_update(settings: dict[str, float]) -> None:
    m = Mixture(*sample(), **settings)  # type: ignore[arg-type]
    constant = objective(m) - m.objective()
    for _ in range(6):
        for update in (m.update_z, m.update_mu, m.update_spread):
            before = m.objective()
            update()
            assert m.objective() <= before + 1e-9
            assert m.objective() + constant == pytest.approx(objective(m), abs=1e-8)


def test_each_block_is_at_its_minimum() -> None:
    m = Mixture(*sample(), likelihood=0.5)
    m.update_z()
    for update, block, step in ((m.update_mu, "mu", 1e-3), (m.update_spread, "spread", 1e-4)):
        update()
        best, least = getattr(m, block), objective(m)
        for _ in range(20):
            setattr(m, block, best + step * RNG.normal(size=best.shape))
            assert objective(m) > least
        setattr(m, block, best)
    for rows in m.apart:  # of the images of one colour each is at its minimum before the others as they are
        m.apart = [rows]
        m.update_z()
        best, least = m.z, objective(m)
        for i in rows[:5]:
            m.z = best.copy()
            m.z[i] = RNG.dirichlet(np.full(len(m.text), 2.0))
            assert objective(m) > least
        m.z = best


def test_under_an_endless_anchor_it_is_the_anchors_own_classifier() -> None:
    images, text, logits = sample()
    m = Mixture(images, text, logits, anchor=1e12, neighbours=0)
    spread = m.spread
    for _ in range(5):
        m.update_z(), m.update_mu(), m.update_spread()
    m.update_z()
    density = [[norm.logpdf(f, t, np.sqrt(spread)).sum() for t in m.text] for f in m.images]
    np.testing.assert_allclose(m.z, softmax(m.log_p + m.likelihood * np.array(density), axis=1), atol=1e-6)


def test_neighbours_are_the_nearest_from_both_sides_and_parts_hold_none(monkeypatch: pytest.MonkeyPatch) -> None:
    images, _, _ = sample(60)
    whole = affinity(images, 3)
    monkeypatch.setattr("adapters.together.transduced.COSINES", 60 * 7)
    assert COSINES > 60 * 7
    np.testing.assert_array_equal(whole.toarray(), affinity(images, 3).toarray())
    expected = np.zeros((60, 60))
    cosines = images @ images.T - 3 * np.eye(60, dtype=np.float32)
    for i in range(60):
        for j in np.argsort(-cosines[i])[:3]:
            expected[i, j] += max(cosines[i, j], 0)
    np.testing.assert_allclose(whole.toarray(), expected + expected.T, atol=1e-6)
    parts = list(independent(whole))
    assert sorted(np.concatenate(parts).tolist()) == list(range(60))
    for rows in parts:
        assert not whole.toarray()[np.ix_(rows, rows)].any()


def test_together_images_are_known_better_and_that_is_said() -> None:
    text = unit(RNG.normal(size=(5, 32)).astype(np.float32))
    labels = RNG.integers(5, size=300)
    centres = unit((text + 0.35 * RNG.normal(size=text.shape)).astype(np.float32))  # the text points past its images
    images = (centres[labels] + 0.12 * RNG.normal(size=(300, 32))).astype(np.float32)
    logits = 10 * unit(images) @ text.T
    adjusted = Transduced(text)
    found = adjusted(images, logits)
    assert (found.argmax(1) == labels).mean() >= (logits.argmax(1) == labels).mean()
    assert np.isfinite(found).all()
    assert adjusted.said == "TRANSDUCTIVE: 300 images together"
    np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=1e-5)
    one = Transduced(text)(images[:1], logits[:1])
    assert one.shape == (1, 5)
