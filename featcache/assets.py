"""Where the files that ship with the package live: dataset cards and the embedded model."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_dir() -> Path:
    """The `data` folder: inside the package when installed from a wheel, beside it in a checkout."""
    packaged = _PACKAGE / "data"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "data"
