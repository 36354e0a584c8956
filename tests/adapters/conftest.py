"""A cache in memory: what `adapters` asks of a `featcache.Cache`, without a store or an encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featcache.cache.labels_file import LabelsFile, Mended, new_labels, read_labels_file


@dataclass
class FakeSplit:
    all_images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    valid: np.ndarray
    all_views: np.ndarray | None = None
    taken: list[int] = field(default_factory=list)  # rows of views that were read
    name: str = "train"
    own_labels: np.ndarray | None = None
    content: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def stored_labels(self) -> np.ndarray:
        return self.labels if self.own_labels is None else self.own_labels

    @property
    def labelled(self) -> np.ndarray:
        return np.asarray(self.valid & (self.labels != -1))

    @property
    def images(self) -> np.ndarray:
        return self.all_images

    def take_images(self, rows: np.ndarray | slice) -> np.ndarray:
        return self.all_images[rows]

    def take_ids(self, rows: np.ndarray | slice) -> np.ndarray:
        return self.ids[rows]

    def take_views(self, rows: np.ndarray) -> np.ndarray | None:
        if self.all_views is None:
            return None
        self.taken += [int(row) for row in rows]
        return self.all_views[rows]


@dataclass
class FakeText:
    matrix: np.ndarray
    class_names: tuple[str, ...]
    name: str = "plain"
    logit_scale: float = 20.0
    logit_bias: float | None = None
    projection: np.ndarray | None = None
    image_projection: np.ndarray | None = None
    image_bias: bool = False

    @property
    def prompts(self) -> tuple[tuple[str, ...], ...]:
        return tuple((f"a photo of a {name}.", f"a {name}.") for name in self.class_names)

    def weights(self) -> np.ndarray:
        return self.matrix / np.linalg.norm(self.matrix, axis=1, keepdims=True)


@dataclass
class FakeCache:
    parts: dict[str, FakeSplit]
    texts: dict[str, FakeText]
    name: str = "shapes-tiny"
    path: str = "/caches/shapes-tiny"
    dataset: dict[str, Any] = field(default_factory=lambda: {"name": "shapes"})
    encoder: dict[str, Any] = field(
        default_factory=lambda: {
            "architecture": "tiny",
            "pretrained": "local",
            "precision": "fp32",
            "weights_sha256": "ab" * 32,
            "transform_sha256": "cd" * 32,
        }
    )

    mended: Mended | None = None
    projections: dict[str, np.ndarray] | None = None
    caveat: str = ""
    how_encoded: dict[str, Any] = field(default_factory=lambda: {"batch_size": 2, "dtype": "float32"})

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.parts)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.text.class_names

    @property
    def digest(self) -> str:
        listing = repr([(name, part.ids.tolist()) for name, part in self.parts.items()])
        return hashlib.sha256((listing + repr(self.encoder)).encode()).hexdigest()

    @property
    def text(self) -> FakeText:
        return next(iter(self.texts.values()))

    @property
    def prompt_sets(self) -> tuple[str, ...]:
        return tuple(self.texts)

    def text_set(self, name: str) -> FakeText:
        return self.texts[name]

    def __getitem__(self, split: str) -> FakeSplit:
        return self.parts[split]

    def keeping(self) -> FakeCache:
        """One that keeps projections, which change nothing: what comes before them are the embeddings."""
        same = np.eye(self.text.matrix.shape[1], dtype=np.float32)
        texts = {name: replace(text, projection=same) for name, text in self.texts.items()}
        return replace(self, texts=texts, projections={"image": same, "text": same})

    def before_projection(self) -> FakeCache:
        """As a real cache does it."""
        assert self.projections is not None
        before = self.projections["image"]
        return replace(self, texts={name: replace(text, image_projection=before) for name, text in self.texts.items()})

    def relabelled(self, labels: Any) -> FakeCache:
        """As a real cache does it."""
        file = labels if isinstance(labels, LabelsFile) else read_labels_file(labels)
        new = new_labels(file, {name: list(part.ids) for name, part in self.parts.items()}, self.class_names)
        parts = {}
        for name, part in self.parts.items():
            mended = part.labels.copy()
            mended[list(new[name])] = list(new[name].values())
            parts[name] = replace(part, labels=mended, own_labels=part.labels)
        nothing = dict.fromkeys(parts, 0)
        return replace(self, parts=parts, mended=Mended(file.path, file.digest, nothing, nothing))


CLASSES = ("annual crop", "forest", "river", "sea")


@pytest.fixture
def make_cache() -> Callable[..., FakeCache]:
    """Builds a cache of four noisy classes whose class texts point only roughly the right way."""

    def build(
        rows: int = 12, *, splits: tuple[str, ...] = ("train", "val", "test"), views: int = 0, noise: float = 0.6
    ) -> FakeCache:
        rng = np.random.default_rng(7)
        centres = rng.normal(size=(len(CLASSES), 16))
        parts = {}
        for split in splits:
            labels = rng.permutation(np.repeat(np.arange(len(CLASSES)), rows))
            images = (centres[labels] + noise * rng.normal(size=(len(labels), 16))).astype(np.float32) * 3
            ids = np.array([f"{CLASSES[label]}/{split}_{row}.jpg" for row, label in enumerate(labels)])
            shifts = 0.3 * rng.normal(size=(len(labels), views, 16))
            parts[split] = FakeSplit(
                images,
                labels,
                ids,
                np.ones(len(labels), dtype=bool),
                (images[:, None] + shifts).astype(np.float32) if views and split == "train" else None,
            )
        rough = (centres + 1.5 * rng.normal(size=centres.shape)).astype(np.float32)
        texts = {"plain": FakeText(rough, CLASSES), "other": FakeText(rough[:, ::-1].copy(), CLASSES, "other")}
        return FakeCache(parts, texts)

    return build


NEEDS: dict[str, dict[str, Any]] = {"consistency": {"views": 2}}
"""What a cache of `make_cache` must have for a method."""
SEARCH_GRID = {"alpha": (0.0, 0.4, 0.8, 1.2), "lr": (0.02, 0.3), "epochs": (6,)}


@pytest.fixture
def search(make_cache: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """A small search on the cache in memory."""
    from adapters.search.search import run

    def run_search(method: str = "taskres", grid: Any = SEARCH_GRID, **options: Any) -> Any:
        asked = {"cache": make_cache(), "shots": [2, 4], "seeds": [1, 2], "out": tmp_path / "search", **options}
        return run(method, grid, **asked)

    return run_search
