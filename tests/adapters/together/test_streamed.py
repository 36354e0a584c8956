"""A stream against brute force: everything is worked out again for every image."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.arrays import unit
from adapters.metrics import softmax
from adapters.together.streamed import Memory, Remembered, Streamed

RNG = np.random.default_rng(5)


def written_out(images: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Of each image what all up to it say, from the whole history."""
    found, p = [], softmax(logits)
    entropy = -(p * np.log(p)).sum(1)
    share = entropy / np.log(logits.shape[1])
    for now in range(len(images)):
        own = logits[now].astype(np.float64)
        for c in range(logits.shape[1]):
            history = [i for i in range(now + 1) if logits[i].argmax() == c]
            for i in sorted(history, key=lambda i: entropy[i])[:3]:
                own[c] += 2 * np.exp(-5 * (1 - images[i] @ images[now]))
            unsure = [i for i in history if 0.2 < share[i] < 0.5]
            for i in sorted(unsure, key=lambda i: entropy[i])[:2]:
                own -= 0.117 * np.exp(-(1 - images[i] @ images[now])) * ((p[i] > 0.03) & (p[i] < 1))
        found.append(own)
    return np.stack(found)


def test_it_answers_what_the_whole_history_says() -> None:
    images = unit(RNG.normal(size=(60, 8)).astype(np.float32))
    logits = (3 * RNG.normal(size=(60, 4))).astype(np.float32)
    stream = Streamed()
    blocks = [stream(images[rows], logits[rows]) for rows in np.array_split(np.arange(60), 7)]
    np.testing.assert_allclose(np.concatenate(blocks), written_out(images, logits), atol=1e-5)
    assert stream.unsure.kept
    assert stream.said == "ONLINE: adapted along a stream of 60 images"


def test_another_order_gives_other_answers() -> None:
    images = unit(RNG.normal(size=(30, 8)).astype(np.float32))
    logits = RNG.normal(size=(30, 4)).astype(np.float32)
    there, back = Streamed()(images, logits), Streamed()(images[::-1], logits[::-1])[::-1]
    assert np.abs(there - back).max() > 0.1


def test_a_full_memory_keeps_the_surest_and_of_equals_the_first() -> None:
    memory = Memory(2)
    for place, entropy in enumerate((0.5, 0.3, 0.5, 0.4, 0.4)):
        memory.add(0, Remembered(np.full(2, float(place)), entropy, np.ones(2)))
    assert [item.image[0] for item in memory.kept[0]] == [1, 3]
    assert Memory(2).votes(np.ones(2), 1.0) == pytest.approx(0)
