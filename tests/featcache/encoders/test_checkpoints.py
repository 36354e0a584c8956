"""Checkpoints of training scripts: the same weights in whatever wrapper, and clear words about what is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from featcache.encoders.checkpoints import plain_checkpoint, unwrapped
from featcache.encoders.encoder import Encoder
from featcache.errors import ModelError

State = dict[str, torch.Tensor]
WEIGHTS: State = {
    "visual.proj": torch.arange(6.0).reshape(2, 3),
    "logit_scale": torch.tensor(4.6),
    "text_projection": torch.ones(2, 2),
}


def prefixed(prefix: str) -> State:
    return {f"{prefix}{name}": value for name, value in WEIGHTS.items()}


LEFT: dict[str, tuple[Any, str]] = {
    "model": ({"model": WEIGHTS, "optimizer": {"state": {}}, "epoch": 3}, "the wrapper model"),
    "model_state_dict": (
        {"epoch": 3, "loss": torch.tensor([0.5]), "model_state_dict": WEIGHTS},
        "the wrapper model_state_dict",
    ),
    "prefix": (prefixed("clip_model."), "the prefix clip_model."),
    "wrapper and prefixes": (
        {"state_dict": prefixed("module.clip."), "args": {"lr": 0.1}},
        "the wrapper state_dict and the prefix module.clip.",
    ),
    "wrapper in wrapper": (
        {"model": {"state_dict": prefixed("model.")}},
        "the wrapper model/state_dict and the prefix model.",
    ),
}


@pytest.mark.parametrize("how", LEFT)
def test_wrappers_and_one_prefix_are_taken_off(how: str, tmp_path: Path) -> None:
    torch.save(LEFT[how][0], tmp_path / "left.pt")
    with plain_checkpoint(tmp_path / "left.pt") as plain:
        found = torch.load(plain.file, weights_only=True)
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], WEIGHTS[name]) for name in WEIGHTS)
    assert not plain.file.exists()
    assert plain.taken_off == LEFT[how][1]


def test_safetensors_with_a_prefix(tmp_path: Path) -> None:
    save_file(prefixed("clip_model."), tmp_path / "left.safetensors")
    with plain_checkpoint(tmp_path / "left.safetensors") as plain:
        assert torch.load(plain.file, weights_only=True).keys() == WEIGHTS.keys()


@pytest.mark.parametrize(
    "content",
    [WEIGHTS, {**prefixed("clip."), "head.weight": torch.ones(2, 2)}, {"epoch": 3}, [1, 2], {0: torch.ones(2, 2)}],
)
def test_other_files_are_left_to_open_clip(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "left.pt")
    with plain_checkpoint(tmp_path / "left.pt") as plain:
        assert plain == (tmp_path / "left.pt", "")
    if isinstance(content, dict):
        assert unwrapped(content).state is content


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 and no more"])
def test_what_cannot_be_read_is_left_to_open_clip(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "left.pt").write_bytes(content)
    with plain_checkpoint(tmp_path / "left.pt") as plain:
        assert plain == (tmp_path / "left.pt", "")


def test_the_layout_of_transformers_is_named(tmp_path: Path) -> None:
    names = ("vision_model.embeddings.class_embedding", "text_projection.weight", "logit_scale")
    torch.save({f"clip.{name}": torch.ones(2, 2) for name in names}, tmp_path / "left.bin")
    with pytest.raises(ModelError, match="layout of Hugging Face's"), plain_checkpoint(tmp_path / "left.bin"):
        pass


@pytest.mark.usefixtures("small_built_ins")
def test_an_encoder_is_the_same_from_a_wrapped_file(tmp_path: Path) -> None:
    state = torch.load(tmp_path / "downloaded.pt", weights_only=True)
    torch.save({"model": {f"clip_model.{name}": value for name, value in state.items()}}, tmp_path / "wrapped.pt")
    files = (tmp_path / "downloaded.pt", tmp_path / "wrapped.pt")
    plain, wrapped = (Encoder.load("ViT-B-16", str(file), device="cpu") for file in files)
    assert plain.identity["weights_sha256"] == wrapped.identity["weights_sha256"]
    told = f"took the wrapper model and the prefix clip_model. off {tmp_path / 'wrapped.pt'}"
    assert (plain.note, wrapped.note) == ("", told)
