"""Class frequencies against brute force and against those that images were drawn with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adapters.errors import AdapterError
from adapters.metrics import log_softmax, softmax
from adapters.together.frequencies import bbse_shares, em_shares, learned_shares, read_shares, shifted, uniform

RNG = np.random.default_rng(0)
TRUE = np.array([0.7, 0.2, 0.1])


def drawn(images: int, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact log-probabilities under equal frequencies of images of three Gaussian classes, and their labels."""
    labels = RNG.choice(3, size=images, p=shares)
    x = RNG.normal(size=(images, 2)) + 1.5 * np.array([[0, 0], [1, 0], [0, 1]])[labels]
    centres = 1.5 * np.array([[0, 0], [1, 0], [0, 1]])
    return log_softmax(-0.5 * ((x[:, None] - centres) ** 2).sum(2)), labels


def test_em_is_saerens_fixed_point_and_finds_the_frequencies() -> None:
    logits, labels = drawn(600, TRUE)
    learned = np.array([0.5, 0.3, 0.2])
    found = em_shares(shifted(logits, learned, uniform(3)), learned)
    p, shares = softmax(logits), np.full(3, 1 / 3)
    for _ in range(150):  # Saerens' loop, image by image, from another start
        shares = np.mean([row * shares / (row * shares).sum() for row in p], axis=0)
    np.testing.assert_allclose(found, shares, atol=1e-5)
    np.testing.assert_allclose(found, np.bincount(labels) / len(labels), atol=0.05)
    right = (shifted(logits, found, uniform(3)).argmax(1) == labels).mean()
    assert right > (logits.argmax(1) == labels).mean() + 0.02


def test_at_the_learned_frequencies_nothing_changes() -> None:
    logits = RNG.normal(size=(5, 3))
    np.testing.assert_array_equal(shifted(logits, TRUE, TRUE), logits + np.log(TRUE) - np.log(TRUE))
    np.testing.assert_allclose(
        softmax(shifted(np.log([[0.5, 0.25, 0.25]]), TRUE, uniform(3))), [[0.35 / 0.425, 0.05 / 0.425, 0.025 / 0.425]]
    )


def test_bbse_solves_the_system_of_mistakes() -> None:
    confusion = np.array([[8, 1, 2], [1, 8, 2], [1, 1, 6]])  # taken for (row), of class (column)
    pairs = np.array([(j, c) for j in range(3) for c in range(3) for _ in range(confusion[j, c])])
    taken = confusion / confusion.sum(0) @ TRUE
    predicted = np.repeat(np.arange(3), np.rint(taken * 1000).astype(int))
    np.testing.assert_allclose(bbse_shares(predicted, pairs[:, 0], pairs[:, 1], 3), TRUE, atol=1e-3)
    two = pairs[pairs[:, 1] < 2]
    without = bbse_shares(np.repeat([0, 1, 2], [60, 30, 10]), two[:, 0], two[:, 1], 3)
    assert without.sum() == pytest.approx(1)
    assert (without > 0).all()


def test_a_class_that_no_image_is_taken_for_keeps_half_an_image() -> None:
    shares = bbse_shares(np.zeros(50, int), np.array([0, 1]), np.array([0, 1]), 2)
    assert shares[1] == pytest.approx(0.01, rel=0.02)
    assert learned_shares(np.array([4, 0]))[1] == pytest.approx(0.5 / 4 / 1.125)


def test_images_that_no_mistake_explains_have_no_frequencies() -> None:
    with pytest.raises(AdapterError, match="finds nothing in 1 images"):
        bbse_shares(np.array([2]), np.array([0, 0, 1]), np.array([0, 1, 2]), 3)


def test_a_file_of_frequencies_is_read_and_its_faults_are_named(tmp_path: Path) -> None:
    path, names = tmp_path / "last-year.csv", ("sea", "river")
    path.write_text("\ufeffclass,share,note\nriver,30,x\nsea,10,\n", encoding="utf-8")
    shares, name = read_shares(path, names)
    assert shares.tolist() == [0.25, 0.75]
    assert name.startswith("last-year.csv@")
    faults = {
        "class,share\nsea,1\n": "lacks class 'river'",
        "class,share\nsea,1\nsea,1\n": "names class 'sea', twice, in line 3",
        "class,share\nlake,1\n": "names class 'lake', which the head does not know, in line 2",
        "class,share\nsea,0\nriver,1\n": "gives sea the share '0'; expected a number above 0",
        "class,share\nsea,many\nriver,1\n": "gives sea the share 'many'",
        "name,share\nsea,1\n": "has the columns name, share; expected",
    }
    for content, told in faults.items():
        path.write_text(content, encoding="utf-8")
        with pytest.raises(AdapterError, match=told):
            read_shares(path, names)
    with pytest.raises(AdapterError, match="cannot be read .*give another file"):
        read_shares(tmp_path / "no.csv", names)
