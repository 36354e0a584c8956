"""None of these: how many known images are refused, and that unknown ones are told from them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adapters.answers.likeness import SHARPNESS, Likeness
from adapters.answers.rejection import least_rows, rejection_threshold
from adapters.arrays import unit


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.25])
def test_the_share_of_known_images_that_is_refused_is_what_was_asked_for(rate: float) -> None:
    rng = np.random.default_rng(1)
    refused = [
        float((new < rejection_threshold(held, rate)).mean())
        for held, new in ((rng.normal(size=79), rng.normal(size=1000)) for _ in range(300))
    ]
    assert abs(np.mean(refused) - math.floor(rate * 80) / 80) < 0.01


def test_too_few_images_refuse_none() -> None:
    for rate in (0.05, 0.1, 0.3):
        least = least_rows(rate)
        scores = np.arange(least, dtype=float)
        assert math.isinf(rejection_threshold(scores[1:], rate))
        assert rejection_threshold(scores, rate) == 0.0


def test_likeness_is_its_equation_row_by_row() -> None:
    rng = np.random.default_rng(2)
    images, text, queries = (rng.normal(size=(n, 8)).astype(np.float32) + 2 for n in (6, 3, 4))
    labels = np.array([0, 0, 0, 2, 2, 2])  # class 1 has no shots: its text stands for it
    like = Likeness.of(images, labels, text)
    m, words = unit(images).mean(0), unit(text)
    for query, score in zip(unit(queries), like.scores(queries), strict=True):
        z = []
        for c in range(3):
            p = unit(words[c] - words.mean(0))
            if c != 1:
                p = unit(unit(unit(unit(images[labels == c]).mean(0)) - m) + p)
            z.append(SHARPNESS * float(unit(query - m) @ p))
        assert score == pytest.approx(max(z) - math.log(sum(math.exp(each) for each in z)), abs=1e-5)


def test_images_of_other_classes_are_less_alike() -> None:
    rng = np.random.default_rng(3)
    centres = unit(rng.normal(size=(6, 32)).astype(np.float32))
    labels = np.repeat(np.arange(4), 8)
    images = centres[labels] + 0.1 * rng.normal(size=(32, 32)).astype(np.float32) + 1
    like = Likeness.of(images, labels, centres[:4] - 1)
    new = centres.repeat(50, axis=0) + 0.1 * rng.normal(size=(300, 32)).astype(np.float32) + 1
    scores = like.scores(new)
    assert np.quantile(scores[:200], 0.05) > np.quantile(scores[200:], 0.95)


def test_shares_that_are_no_binary_fractions_count_as_written() -> None:
    for percent in range(1, 100):
        for rows in range(1, 400):
            k = percent * (rows + 1) // 100
            threshold = rejection_threshold(np.arange(rows, dtype=float), percent / 100)
            assert threshold == (k - 1 if k else -math.inf), (percent, rows)
    for rows in (161, 187, 322):  # of whose inverses a binary fraction falls short
        assert least_rows(1 / (rows + 1)) == rows
        assert rejection_threshold(np.arange(rows, dtype=float), 1 / (rows + 1)) == 0
