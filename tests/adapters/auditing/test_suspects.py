"""Who is suspected: probabilities and ranking by their equations, and what the second round learns with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adapters.arrays import unit
from adapters.auditing import suspects
from adapters.auditing.noise import Understood
from adapters.metrics import softmax


def test_wrong_labels_weigh_little_in_the_second_round_and_odds_are_those_of_the_equations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(3, 8))
    labels = np.repeat(np.arange(3), 30)
    features = unit((centres[labels] + 0.5 * rng.normal(size=(90, 8))).astype(np.float32))
    zero_shot = (10 * features @ unit(centres.astype(np.float32)).T).astype(np.float32)
    wrong = np.array([3, 40, 70])
    labels[wrong] = (labels[wrong] + 1) % 3
    labels[10] = -1
    weights, found = [], []

    class Recorded(suspects.LeftOut):
        def __init__(self, features: Any, labels: Any, given: Any, classes: int) -> None:
            weights.append(given.copy())
            super().__init__(features, labels, given, classes)

    def recorded(*evidence: Any, rounds: int = suspects.FIRST_ROUNDS, **more: Any) -> Understood:
        found.append((understand(*evidence, **({"rounds": rounds} if rounds == 0 else more)), *evidence))
        return found[-1][0]

    understand = suspects.understand
    monkeypatch.setattr(suspects, "LeftOut", Recorded)
    monkeypatch.setattr(suspects, "understand", recorded)
    judged = suspects.judge(features, labels, zero_shot)

    first, second = weights
    assert set(first) == {0.0, 1.0}
    assert second[10] == first[10] == 0
    assert second[wrong].max() < 0.1 < 0.5 < np.median(second[first > 0])

    known = labels >= 0
    last, shown, learned, codes = found[-1]
    p, at = softmax(last.scales[0] * shown + last.scales[1] * learned), np.arange(len(codes))
    joint = p * last.confusion[:, codes].T
    share = 1 - joint[at, codes] / joint.sum(1)
    np.testing.assert_allclose(judged.wrong[known], share, atol=1e-9)
    others = p.copy()
    others[at, codes] = 0
    plain = np.log(others.max(1) / p[at, codes])
    np.testing.assert_allclose(judged.evidence[known], (np.log(share / (1 - share)) + plain) / 2, rtol=1e-6)
    assert np.isnan(judged.wrong[~known]).all()
    assert judged.told.tolist() == wrong[np.argsort(-judged.evidence[wrong])].tolist()
