"""A run of the embedded model on small pictures, with its cache and its root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import featcache
from adapters.fitting.fit import fit
from tests.pictures import draw_class_folders


@dataclass(frozen=True)
class Saved:
    """A saved run, the cache that it was fitted on, its pictures and their root."""

    run: str
    cache: Any
    pictures: Path
    root: str

    @property
    def files(self) -> list[str]:
        """The pictures of the test split."""
        return [str(self.pictures / str(image_id)) for image_id in self.cache["test"].ids]


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    home = tmp_path_factory.mktemp("predicting")
    pictures = draw_class_folders(home / "photos", classes=3, per_class=20, seed=0)
    asked: dict[str, Any] = {"root": str(home), "workers": 0, "progress": False, "device": "cpu"}
    cache = featcache.extract("tiny", str(pictures), batch_size=7, **asked)
    run = fit("clip", cache=cache, shots=2, reject=0.2, coverage=0.8, root=str(home), device="cpu").run
    return Saved(run, cache, pictures, str(home))
