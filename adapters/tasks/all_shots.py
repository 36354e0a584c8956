"""In place of a number of shots: all."""

from __future__ import annotations

from typing import Literal

ALL: Literal["all"] = "all"
"""Every labelled training image, of classes as large as they are."""
Shots = int | Literal["all"]
"""Images a class, or all."""
