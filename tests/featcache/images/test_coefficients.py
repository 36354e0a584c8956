"""Fixed-point weights: each output's sum to one, and lie inside the axis. What they give is in test_resampling."""

from __future__ import annotations

import numpy as np
import pytest

from featcache.images.coefficients import BITS, FILTERS, coefficients


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize(("length", "outputs"), [(1, 9), (9, 1), (64, 224), (500, 224), (225, 224), (7, 7)])
def test_weights_sum_to_one_and_windows_lie_inside(name: str, length: int, outputs: int) -> None:
    axis = coefficients(length, outputs, name)
    taps = axis.weights.shape[1]
    assert axis.first.shape == (outputs,)
    assert (np.diff(axis.first) >= 0).all()
    assert axis.first.min() >= 0
    assert axis.first.max() + taps <= length
    assert np.abs(axis.weights.sum(1) - (1 << BITS)).max() <= taps


def test_a_length_that_stays_is_left_alone() -> None:
    axis = coefficients(5, 5, "lanczos")
    assert axis.first.tolist() == [0, 1, 2, 3, 4]
    assert axis.weights.tolist() == [[1 << BITS]] * 5
