"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

PARTIAL = ".partial"
"""How the names of files end that are not whole yet."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name and move it into place: a reader sees all of it or what was there before.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
