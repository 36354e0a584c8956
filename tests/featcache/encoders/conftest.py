"""Small models, written on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU
from safetensors.torch import save_file

from featcache.encoders.encoder import Encoder

MODEL = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


PREPROCESS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.3], "interpolation": "bilinear", "resize_mode": "squash"}


MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Write an open_clip model directory with weights drawn from a seed."""

    def make(name: str = "model", seed: int = 7, preprocess: dict[str, Any] = PREPROCESS, **changes: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        config = MODEL | changes
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = open_clip.CLIP(**config)
        save_file(model.state_dict(), folder / "open_clip_model.safetensors")
        return folder

    return make


@pytest.fixture
def encoder(make_folder: MakeFolder) -> Encoder:
    return Encoder.load(str(make_folder()), device="cpu")


def pixels(count: int = 3, size: int = 32) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def activations(encoder: Encoder) -> set[type]:
    return {type(m) for m in encoder._model.modules() if isinstance(m, torch.nn.GELU | QuickGELU)}


@pytest.fixture
def small_built_ins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """open_clip's ViT-B-16 made small, and its download replaced by a file: all else is the real loading code."""
    for name in ("ViT-B-16", "ViT-B-16-quickgelu"):
        quick = {"quick_gelu": True} if name.endswith("quickgelu") else {}
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, MODEL | quick)
    torch.save(open_clip.CLIP(**MODEL).state_dict(), tmp_path / "downloaded.pt")
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda *_, **__: str(tmp_path / "downloaded.pt"))
