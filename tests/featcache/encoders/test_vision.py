"""Encoders of images alone are timm's, and see pictures as timm does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_model_data_config

import featcache
from featcache.encoders.encoder import Encoder
from featcache.encoders.models import describe
from featcache.encoders.of_identity import encoder_of
from featcache.errors import CacheError, ModelError, PromptError
from featcache.extraction.extract import run_extraction
from featcache.extraction.request import Request
from featcache.places.folder import Folder
from featcache.verification.verify import verify

NAME = "timm:test_resnet"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load(NAME, "random", device="cpu")


def test_features_are_those_of_timm_s_own_model_and_transform(encoder: Encoder, tmp_path: Path) -> None:
    plain = timm.create_model("test_resnet", pretrained=False)
    file = tmp_path / "weights.safetensors"
    save_file(plain.state_dict(), str(file))
    loaded = Encoder.load(NAME, str(file), device="cpu")
    transform = create_transform(**resolve_model_data_config(plain), is_training=False)
    pixels = np.random.default_rng(0).integers(256, size=(190, 230, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    with torch.inference_mode():
        seen = transform(image)[None]
        expected = plain.eval().forward_head(plain.forward_features(seen), pre_logits=True).numpy()
    np.testing.assert_array_equal(loaded.transform(image)[None].numpy(), seen.numpy())
    np.testing.assert_allclose(loaded.encode_images(loaded.pixels(image)[None]), expected, atol=1e-5)
    grey = Image.fromarray(pixels[..., 0])
    assert loaded.pixels(grey).shape == (3, *loaded.input_size)
    assert loaded.identity["weights_sha256"] != encoder.identity["weights_sha256"]
    assert loaded.identity["text"] is False


def test_its_name_says_width_and_size_without_weights(encoder: Encoder) -> None:
    info = describe(NAME)
    assert (info.architecture, info.pretrained, info.dim, info.tags) == (NAME, "hub", encoder.dim, ("hub",))
    assert info.image_size == max(encoder.input_size)
    again = encoder_of(encoder.identity, device="cpu")
    assert dict(again.identity) == dict(encoder.identity)


@pytest.mark.parametrize(
    ("model", "pretrained", "message"),
    [
        ("timm:test_resnot", None, "did you mean timm:test_resnet"),
        (NAME, "laion", "which brings its own weights"),
        (NAME, "/nowhere/x.safetensors", "no checkpoint file"),
    ],
)
def test_what_timm_lacks_is_named(model: str, pretrained: str | None, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        describe(model, pretrained)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_file({"conv1.weight": torch.zeros(2, 2)}, str(file))
    with pytest.raises(ModelError, match="does not fit timm:test_resnet"):
        Encoder.load(NAME, str(file), device="cpu")


def test_a_cache_of_it_is_whole_without_text(encoder: Encoder, image_folder: Any, root: Path) -> None:
    asked: dict[str, Any] = {"model": NAME, "pretrained": "random", "dataset": str(image_folder(per_class=5))}
    cache = run_extraction(Request(**asked, workers=0, device="cpu"), progress=False).cache
    assert cache.prompt_sets == ()
    assert cache["train"].images.shape[1] == encoder.dim
    assert run_extraction(Request(**asked, workers=0, device="cpu"), progress=False).encoded == 0
    found = verify(Folder(cache.path), sample=0)
    assert not found.problems
    with pytest.raises(CacheError, match="has no class text"):
        cache.text  # noqa: B018
    with pytest.raises(PromptError, match="encodes images alone"):
        run_extraction(Request(**asked, templates="words"), progress=False)
    with pytest.raises(ModelError, match="encodes images alone"):
        encoder.encode_texts(["a cat"])
    assert featcache.open(cache.name).encoder["text"] is False
