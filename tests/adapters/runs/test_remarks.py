"""What is said of numbers, and when."""

from __future__ import annotations

from typing import Any

import numpy as np

from adapters.metrics import difference
from adapters.runs.remarks import remarks
from adapters.scores import score_logits


def told(head: np.ndarray, baseline: np.ndarray, labels: np.ndarray, **changes: Any) -> list[str]:
    classes = head.shape[1]
    given = {
        "method": "tip",
        "zero_shot": score_logits(baseline, labels),
        "tested": score_logits(head, labels),
        "less_zero_shot": difference(head.argmax(1) == labels, baseline.argmax(1) == labels),
        "counts": np.bincount(labels, minlength=classes),
        "class_names": [f"class {c}" for c in range(classes)],
        "ece_uncalibrated": None,
        **changes,
    }
    return list(remarks(**given))


def logits(labels: np.ndarray, right: float, seed: int = 0) -> np.ndarray:
    """Sure of the label in a share of the rows, and about as sure as it is right."""
    rng = np.random.default_rng(seed)
    shown = np.where(rng.random(len(labels)) < right, labels, (labels + 1) % 4)
    return (np.log(3 * max(right, 0.3) / (1 - right)) * np.eye(4)[shown]).astype(np.float32)


EVEN = np.repeat(np.arange(4), 100)


def test_good_numbers_need_no_remark() -> None:
    assert told(logits(EVEN, 0.95), logits(EVEN, 0.7, 1), EVEN) == []


def test_zero_shot_at_chance_is_told() -> None:
    found = told(logits(EVEN, 0.95), logits(EVEN, 0.25, 1), EVEN)
    assert found[0].startswith("zero-shot is no better than chance")
    assert "--class-names" in found[0]


def test_a_head_below_zero_shot_is_told() -> None:
    assert told(logits(EVEN, 0.7), logits(EVEN, 0.9, 1), EVEN)[0].startswith("the head is below zero-shot by ")
    own = told(logits(EVEN, 0.7), logits(EVEN, 0.9, 1), EVEN, method="zero-shot")
    assert not any("zero-shot by" in each or "may be chance" in each for each in own)


def test_a_difference_that_may_be_chance_is_told() -> None:
    head = logits(EVEN, 0.9)
    baseline = head.copy()
    baseline[0] = np.roll(baseline[0], 1)
    assert any("may be chance (95 % interval" in each for each in told(head, baseline, EVEN))


def test_small_splits_and_classes_are_told() -> None:
    labels = np.array([0] * 40 + [1] * 30 + [2] * 3)
    found = told(logits(labels, 0.95), logits(labels, 0.4, 1), labels)
    assert any(each.startswith("the test split has only 73 images") for each in found)
    assert "2 of 4 classes have fewer than 10 test images: class 2 (3), class 3 (0)" in found


def test_probabilities_that_are_off_are_told() -> None:
    head = 20 * logits(EVEN, 0.8)
    assert any("(ECE): fit with --calibrate" in each for each in told(head, logits(EVEN, 0.5, 1), EVEN))
    found = told(head / 20, logits(EVEN, 0.5, 1), EVEN, ece_uncalibrated=0.2)
    assert any(each.startswith("--calibrate changed the ECE from 20.00 % to ") for each in found)


def test_a_class_is_small_below_ten_images() -> None:
    for rows, said in ((10, False), (9, True)):
        labels = np.concatenate([EVEN[EVEN < 3], np.full(rows, 3)])
        found = told(logits(labels, 0.95), logits(labels, 0.7, 1), labels)
        assert any(f"class 3 ({rows})" in each for each in found) == said
