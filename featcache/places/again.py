"""What a command that is told to be typed next says of the root."""

from __future__ import annotations

import shlex
from pathlib import Path


def again(root: str | Path | None) -> str:
    """What names the same root in a command to type next: nothing where none was given."""
    return f" --root {shlex.quote(str(root))}" if root else ""
