"""Embeddings of three classes that are easily told apart, as somebody else may have made them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featcache
from featcache.importing.asked import Asked
from featcache.importing.run import ImportReport, run_import

NAMES = ("ant", "bee", "cat")


@dataclass
class Made:
    """What somebody made: embeddings (N, D), labels (N,), text (C, D)."""

    embeddings: np.ndarray
    labels: np.ndarray
    text: np.ndarray

    def arrays(self, **others: Any) -> dict[str, Any]:
        """As they are saved; `None` leaves one out."""
        mine = {
            "embeddings": self.embeddings,
            "labels": self.labels,
            "text": self.text,
            "class_names": np.array(NAMES),
            "logit_scale": np.array(50.0),
        }
        return {name: value for name, value in {**mine, **others}.items() if value is not None}


@pytest.fixture
def made() -> Made:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    text = rng.normal(size=(3, 8)).astype(np.float32)
    return Made((3 * text[labels] + rng.normal(size=(60, 8))).astype(np.float32), labels, text)


def bring(source: Path, **asked: Any) -> ImportReport:
    return run_import(Asked(source=source, **asked), progress=False)


def rows(cache: featcache.Cache) -> dict[str, tuple[bytes, int]]:
    """Embedding and label by id, over all splits."""
    return {
        image_id: (embedding.tobytes(), label)
        for split in cache.splits
        for image_id, embedding, label in zip(
            cache[split].ids.tolist(), cache[split].images, cache[split].labels.tolist(), strict=True
        )
    }
