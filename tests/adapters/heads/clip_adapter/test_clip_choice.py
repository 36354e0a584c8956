"""CLIP-Adapter's choice of the ratios to train and to predict at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from adapters import ClipAdapter
from adapters.errors import AdapterError
from adapters.parameters import parameters_of
from adapters.selection.exact_alpha import AlphaPath
from adapters.training.loop import threads_for
from tests.golden_files import golden

DATA, SUPPORT, TEXT = golden("data", "support", "text_weights")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads_for(0):
        yield


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


def test_ratio_is_chosen_on_held_out_rows_or_shots() -> None:
    views, labels = _support(4)
    held_out = DATA["val_features"], DATA["val_labels"]
    test = DATA["test_features"], DATA["test_labels"]
    # At the released learning rate the fixed ratio is far from the best one here.
    fixed = ClipAdapter(lr=2e-3).fit(views, labels, text=TEXT["tip"]).score(*test)
    for rows in (held_out, None):
        chosen = ClipAdapter(seed=3, lr=2e-3).tuned(views, labels, text=TEXT["tip"], held_out=rows)
        assert not hasattr(chosen, "w1_")
        assert chosen.seed == 3
        assert chosen.alpha > 0.2
        assert chosen.fit(views, labels, text=TEXT["tip"]).score(*test) > fixed


@pytest.mark.parametrize("shots", [1, 4])
def test_chosen_ratios_are_the_best_on_held_out_rows(shots: int) -> None:
    views, labels = _support(4)
    if shots == 1:
        views, labels = views[::4], labels[::4]
    X, y = DATA["val_features"], DATA["val_labels"]
    settings = {"lr": 0.02, "epochs": 20, "seed": 3}
    head = ClipAdapter(**settings).tuned(views, labels, text=TEXT["tip"], held_out=(X, y))
    choice = head.alpha_choice_
    assert (choice.chosen_on, choice.rows, choice.alpha) == ("held-out", len(y), head.alpha)
    assert choice.lo <= head.alpha <= choice.hi
    # The chosen head is that with which the choice was made, and no ratio of prediction does better at any of training.
    assert head.fit(views, labels, text=TEXT["tip"]).score(X, y) == pytest.approx(choice.accuracy, abs=1.5 / len(y))
    for ratio in parameters_of(ClipAdapter)["train_alpha"].tried:
        other = ClipAdapter(train_alpha=ratio, **settings).fit(views, labels, text=TEXT["tip"])
        scores = [other.set_params(alpha=alpha).score(X, y) for alpha in np.linspace(0, 1, 21).tolist()]
        assert max(scores) <= choice.accuracy + 1e-9
        if ratio == head.train_alpha:
            assert [other.set_params(alpha=end).score(X, y) for end in (choice.lo + 1e-5, choice.hi - 1e-5)] == (
                pytest.approx([choice.accuracy] * 2)
            )


def test_on_the_support_the_ratio_of_training_stays() -> None:
    views, labels = _support(4)
    head = ClipAdapter(alpha=0.3, lr=0.02, epochs=10).tuned(views, labels, text=TEXT["tip"])
    assert head.train_alpha == 0.3
    assert (head.alpha_choice_.chosen_on, head.alpha_choice_.rows) == ("support", len(labels))
    fixed = ClipAdapter(train_alpha=0.3, alpha=head.alpha, lr=0.02, epochs=10).fit(views, labels, text=TEXT["tip"])
    np.testing.assert_array_equal(head.fit(views, labels, text=TEXT["tip"]).w2_, fixed.w2_)
    assert not hasattr(ClipAdapter(epochs=1).tuned(views, labels, text=TEXT["tip"]), "w1_")


def test_a_training_that_diverges_cannot_be_chosen_from() -> None:
    views, labels = _support(4)
    with pytest.raises(AdapterError, match="clip diverged at lr=1e"):
        ClipAdapter(lr=1e30, weight_decay=1e10, epochs=20).tuned(views, labels, text=TEXT["tip"])


def test_of_equals_the_ratio_nearest_to_the_training_is_taken() -> None:
    def path(*pieces: int) -> AlphaPath:
        """Right answers on pieces of equal width."""
        ends = np.append(np.arange(len(pieces)) / len(pieces), np.inf)
        starts, stops = ends[:-1].repeat(pieces), ends[1:].repeat(pieces)
        return AlphaPath(starts, stops, 9, 0.0, 1.0)

    head = ClipAdapter(alpha=0.4)
    head._choose({0.2: path(1, 2, 3, 3, 2), 0.6: path(3, 1, 1, 2, 3), 1.0: path(1, 1, 1, 2, 2)}, "support", 0.4)
    assert (head.train_alpha, head.alpha) == pytest.approx((0.2, 0.4))  # those of 0.6 are 0.4 and 0.2 away as well
    assert (head.alpha_choice_.lo, head.alpha_choice_.hi) == pytest.approx((0.4, 0.8))
    flat = ClipAdapter(alpha=0.4)
    flat._choose({0.2: path(2), 0.6: path(2)}, "support", 0.4)
    assert (flat.alpha, flat.train_alpha) == (0.4, None)
    assert "as they were" in flat.selection_note_
