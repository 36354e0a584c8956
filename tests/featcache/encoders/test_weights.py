"""Weights: the tag's activation, the digest, and what goes wrong in one line."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU
from safetensors.torch import save_file

from featcache.encoders import models, weights
from featcache.encoders.encoder import Encoder
from featcache.errors import ModelError
from tests.featcache.encoders.conftest import MODEL, MakeFolder, activations, pixels


def test_weights_digest_covers_names_dtypes_shapes_and_bytes() -> None:
    def digest(**tensors: torch.Tensor) -> str:
        module = torch.nn.Module()
        for name, tensor in tensors.items():
            module.register_buffer(name, tensor)
        return weights.weights_sha256(module)

    ones = torch.ones(2, 3)
    assert digest(a=ones, b=torch.zeros(())) == digest(b=torch.zeros(()), a=ones.t().contiguous().t())
    changed = [digest(a=ones), digest(b=ones), digest(a=ones.reshape(3, 2)), digest(a=ones.view(torch.int32))]
    assert len({*changed, digest(a=ones * 2), digest(a=ones.bfloat16())}) == 6


def test_random_weights_are_the_same_every_time(make_folder: MakeFolder) -> None:
    folder = make_folder()
    state = torch.get_rng_state()
    digests = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        digests.append(Encoder.load(str(folder), "random", device="cpu").identity["weights_sha256"])
    trained = Encoder.load(str(folder), device="cpu").identity["weights_sha256"]
    assert digests[0] == digests[1] != trained
    torch.manual_seed(3)
    before = torch.get_rng_state()
    Encoder.load(str(folder), device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    torch.set_rng_state(state)


@pytest.mark.usefixtures("small_built_ins")
@pytest.mark.parametrize(
    ("model", "pretrained", "activation"),
    [
        ("ViT-B/16", None, QuickGELU),
        ("ViT-B-16", "dfn2b", QuickGELU),
        ("ViT-B-16", "metaclip-400m", QuickGELU),
        ("ViT-B-16-quickgelu", "openai", QuickGELU),
        ("ViT-B-16", "laion2b_s34b_b88k", torch.nn.GELU),
        ("ViT-B-16", "datacomp_xl_s13b_b90k", torch.nn.GELU),
        ("ViT-B-16", "random", torch.nn.GELU),
        ("ViT-B-16-quickgelu", "random", QuickGELU),
    ],
)
def test_the_model_is_built_with_the_tag_s_activation(model: str, pretrained: str | None, activation: type) -> None:
    encoder = Encoder.load(model, pretrained, device="cpu")  # warnings are errors: open_clip's mismatch never shows
    assert activations(encoder) == {activation}
    assert encoder.identity["quick_gelu"] == (activation is QuickGELU)


@pytest.mark.usefixtures("small_built_ins")
def test_checkpoint_files_use_the_architecture_s_own_activation(tmp_path: Path) -> None:
    file = str(tmp_path / "downloaded.pt")
    plain = Encoder.load("ViT-B-16", file, device="cpu")
    quick = Encoder.load("ViT-B-16-quickgelu", file, device="cpu")
    assert (activations(plain), activations(quick)) == ({torch.nn.GELU}, {QuickGELU})
    assert plain.identity["weights_sha256"] == quick.identity["weights_sha256"]
    assert not np.array_equal(plain.encode_images(pixels()), quick.encode_images(pixels()))
    with pytest.raises(ModelError, match=r"downloaded\.pt does not fit RN50 \(.*give the architecture it was saved"):
        Encoder.load("RN50", file, device="cpu")


@pytest.mark.usefixtures("small_built_ins")
def test_a_mismatch_that_open_clip_sees_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real = models.describe("ViT-B-16", "openai")
    monkeypatch.setattr(models, "describe", lambda *_: dataclasses.replace(real, quick_gelu=False))
    with pytest.raises(ModelError, match=r"ViT-B-16 with 'openai': QuickGELU mismatch"):
        Encoder.load("ViT-B-16", device="cpu")


def test_a_failed_download_is_one_line(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FileNotFoundError("Failed to download file.\nName or service not known")

    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-16", MODEL)
    monkeypatch.setattr(open_clip.factory, "download_pretrained", fail)
    handlers = list(logging.root.handlers)
    with pytest.raises(ModelError, match=r"weights 'openai' of ViT-B-16 .*not known\).*--pretrained FILE") as error:
        Encoder.load("ViT-B-16", device="cpu")
    assert "\n" not in str(error.value)
    assert logging.root.handlers == handlers
    assert capfd.readouterr() == ("", "")


def test_directories_without_weights_or_with_wrong_ones(make_folder: MakeFolder) -> None:
    folder = make_folder()
    checkpoint = folder / "open_clip_model.safetensors"
    whole = checkpoint.read_bytes()
    for damaged in (whole[:1000], b"", b"{}"):
        checkpoint.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"cannot load .*weights that fit it"):
            Encoder.load(str(folder), device="cpu")
    save_file({"visual.proj": torch.zeros(2, 2)}, checkpoint)
    with pytest.raises(ModelError, match=r"cannot load .*weights that fit it"):
        Encoder.load(str(folder), device="cpu")
    checkpoint.unlink()
    with pytest.raises(ModelError, match=r"cannot load .*weights that fit it"):
        Encoder.load(str(folder), device="cpu")
