"""The reference outputs of `tests/golden`; its README says where each file comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

FOLDER = Path(__file__).parent / "golden"


def golden(*names: str) -> list[NpzFile]:
    """The files of those names, in their order."""
    return [np.load(FOLDER / f"{name}.npz") for name in names]
