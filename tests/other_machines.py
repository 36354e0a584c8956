"""Processes that behave as on other machines: slow disks, missing folders, other versions.

Python runs a `sitecustomize.py` that it finds on its path before anything else, also in processes that others start.
"""

from __future__ import annotations

import os
from pathlib import Path

SLOW = """
import time
from PIL import Image
_open = Image.open
def slowly(*args, **kwargs):
    time.sleep({seconds})
    return _open(*args, **kwargs)
Image.open = slowly
"""
BLIND = """
import os
_stat = os.stat
def stat(path, **kwargs):
    if str(path).startswith({folder!r}):
        raise FileNotFoundError(str(path))
    return _stat(path, **kwargs)
os.stat = stat
"""


def slow_disk(folder: Path, seconds: float) -> str:
    """PYTHONPATH of processes to which each picture takes so long."""
    return customized(folder, SLOW.format(seconds=seconds))


def without(folder: Path, images: Path) -> str:
    """PYTHONPATH of processes that do not see the images."""
    return customized(folder, BLIND.format(folder=str(images)))


def other_pillow(folder: Path, version: str) -> str:
    """PYTHONPATH of processes in which Pillow has another version."""
    information = folder / f"pillow-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pillow\nVersion: {version}\n")
    return _on_path(folder)


def customized(folder: Path, code: str) -> str:
    """PYTHONPATH of processes that run this code before anything else."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(code)
    return _on_path(folder)


def _on_path(folder: Path) -> str:
    return os.pathsep.join([str(folder), str(Path(__file__).parents[1])])
