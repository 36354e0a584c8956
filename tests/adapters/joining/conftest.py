"""Two encoders' embeddings of the same images, as imported caches: one in another order, and one without text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featcache
from featcache.importing.asked import Asked
from featcache.importing.run import run_import

NAMES = ("ant", "bee", "cat")
Bring = Callable[..., featcache.Cache]


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Bring:
    """Imports embeddings of 90 images, the same ones at every call: `caches("a", width=6)`."""
    home = tmp_path_factory.mktemp("joined")

    def bring(
        name: str,
        *,
        width: int = 8,
        noise: float = 1.0,
        scale: float = 50.0,
        text: bool = True,
        prompts: int = 2,
        order: bool = False,
        root: str | Path = home,
        **changed: Any,
    ) -> featcache.Cache:
        rng = np.random.default_rng(len(name) + sum(map(ord, name)))
        labels = np.arange(90) % 3
        centres = rng.normal(size=(3, width))
        rows = 2 * centres[labels] + noise * rng.normal(size=(90, width))
        texts = centres[:, None] + 0.5 * rng.normal(size=(3, prompts, width))
        ids = np.array([f"{NAMES[label]}/{row:02d}.jpg" for row, label in enumerate(labels)])
        which = rng.permutation(90) if order else np.arange(90)
        arrays: dict[str, Any] = {"logit_scale": np.array(scale), "class_names": np.array(NAMES)}
        for split, part in (("train", slice(0, 45)), ("val", slice(45, 60)), ("test", slice(60, 90))):
            these = which[np.isin(which, np.arange(90)[part])]
            arrays |= {f"{split}_features": rows[these].astype(np.float32), f"{split}_labels": labels[these]}
            arrays |= {f"{split}_ids": ids[these]}
        if text:
            arrays["text"] = texts.astype(np.float32)
        arrays |= changed
        file = Path(root) / f"{name}.npz"
        np.savez(file, **arrays)
        asked = Asked(source=file, root=str(root), dtype="float32", arrays={} if text else {"text": "none"})
        return run_import(asked, progress=False).cache

    return bring
