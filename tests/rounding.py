"""Equal up to rounding, on the device that heads compute on by default."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

GPU = torch.cuda.is_available()


def assert_near(actual: Any, expected: Any, *, rtol: float = 1e-5, atol: float = 1e-6, name: str = "") -> None:
    """On a CPU as near as that; on a GPU by the largest value.

    A GPU's products of other shapes add in other orders, and a training of many steps enlarges what they round
    differently: of the largest weight up to a hundredth was seen after 20 epochs of CLIP-Adapter, and 1e-5 after two.
    """
    if GPU:
        rtol, atol = 1e-3, max(atol, 2e-2 * float(np.abs(np.asarray(expected)).max(initial=0)))
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol, err_msg=name)


def assert_same(actual: Any, expected: Any) -> None:
    """On a CPU to the bit; on a GPU, which adds in other orders in products of other shapes, nearly."""
    if GPU:
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
    else:
        np.testing.assert_array_equal(actual, expected)
