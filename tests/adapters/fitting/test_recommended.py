"""`adapters.recommended`: what it refuses before any work."""

from __future__ import annotations

import numpy as np
import pytest

import adapters
from adapters.errors import AdapterError


def test_text_without_a_scale_is_refused_by_name() -> None:
    rng = np.random.default_rng(0)
    X, text = rng.normal(size=(8, 4)).astype(np.float32), rng.normal(size=(2, 4)).astype(np.float32)
    with pytest.raises(AdapterError, match="text is ndarray without the encoder's logit_scale; give cache.text"):
        adapters.recommended("tip").fit(X, np.arange(8) % 2, text=text)
