"""The encoder against open_clip itself: embeddings, transform, precision, identity."""

from __future__ import annotations

import io
import json
import pickle

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from featcache.encoders import encoder as encoder_file
from featcache.encoders.encoder import Encoder
from featcache.errors import ModelError
from featcache.images.decode import decode
from tests.featcache.encoders.conftest import MODEL, PREPROCESS, MakeFolder, pixels

PROMPTS = ["a photo of a cat.", "a dog", "seven"]


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).convert(mode)


def test_embeddings_are_open_clip_s_raw_ones(make_folder: MakeFolder) -> None:
    folder = make_folder()
    encoder = Encoder.load(str(folder), device="cpu")
    # Frozen parameters: torch's attention takes another path for them, which rounds differently in the last bits.
    reference = open_clip.create_model(f"local-dir:{folder}").eval().requires_grad_(False)
    with torch.no_grad():
        images = reference.encode_image(pixels()).numpy()
        texts = reference.encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(PROMPTS)).numpy()
    assert np.array_equal(encoder.encode_images(pixels()), images)
    assert np.array_equal(encoder.encode_texts(PROMPTS), texts)
    assert images.dtype == np.float32
    assert images.shape == (3, encoder.dim)
    assert not np.allclose(np.linalg.norm(images, axis=1), 1, atol=0.05)
    assert encoder.logit_scale == pytest.approx(1 / 0.07)
    assert encoder.logit_bias is None


def test_nothing_and_many(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert encoder.encode_images(pixels(0)).shape == encoder.encode_texts([]).shape == (0, 24)
    together = encoder.encode_texts(PROMPTS)
    monkeypatch.setattr(encoder_file, "TEXT_BATCH", 2)
    np.testing.assert_allclose(encoder.encode_texts(PROMPTS), together, atol=1e-6)
    with pytest.raises(ValueError, match=r"expected \(B, 3, H, W\)"):
        encoder.encode_images(pixels()[0])


def test_modes_of_the_caller_change_nothing(make_folder: MakeFolder) -> None:
    vision = MODEL["vision_cfg"] | {"patch_dropout": 0.5}  # random in training mode  # type: ignore[operator]
    encoder = Encoder.load(str(make_folder(vision_cfg=vision)), device="cpu")
    expected = encoder.encode_images(pixels())
    encoder._model.train()
    with torch.enable_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert np.array_equal(encoder.encode_images(pixels().requires_grad_()), expected)
        assert np.array_equal(encoder.encode_texts(PROMPTS), encoder.encode_texts(PROMPTS))
    assert all(not parameter.requires_grad for parameter in encoder._model.parameters())


def test_the_transform_is_the_model_s_own(make_folder: MakeFolder) -> None:
    squash = Encoder.load(str(make_folder("a")), device="cpu")
    shortest = Encoder.load(str(make_folder("b", preprocess={"interpolation": "bicubic"})), device="cpu")
    x = np.asarray(picture().resize((32, 32), Image.Resampling.BILINEAR), np.float32) / 255
    expected = (x - np.float32(PREPROCESS["mean"])) / np.float32(PREPROCESS["std"])
    np.testing.assert_allclose(squash.transform(picture()).permute(1, 2, 0), expected, atol=1e-5)
    assert not torch.allclose(squash.transform(picture()), shortest.transform(picture()))
    assert squash.identity["transform_sha256"] != shortest.identity["transform_sha256"]
    assert squash.identity["weights_sha256"] == shortest.identity["weights_sha256"]
    assert json.loads(squash.identity["transform"])["resize_mode"] == "squash"


def test_the_transform_travels_to_worker_processes(encoder: Encoder) -> None:
    again = pickle.loads(pickle.dumps(encoder.transform))
    assert torch.equal(again(picture()), encoder.transform(picture()))


def test_what_views_need_is_the_models_own(encoder: Encoder) -> None:
    assert encoder.input_size in (32, (32, 32))
    flat = encoder.transform(Image.new("RGB", (40, 40)))[:, 0, 0]
    torch.testing.assert_close(flat, -torch.tensor(encoder.mean) / torch.tensor(encoder.std))


def test_identity_names_the_encoder(make_folder: MakeFolder) -> None:
    folder = make_folder()
    identity = Encoder.load(str(folder), device="cpu").identity
    assert json.loads(json.dumps(identity)) == identity
    assert identity["architecture"] == str(folder)
    assert identity["pretrained"] == "local"
    assert identity["precision"] == "fp32"
    assert (identity["tokenizer"], identity["context_length"]) == ("SimpleTokenizer", 16)
    again = Encoder.load(identity["architecture"], identity["pretrained"], device="cpu").identity
    assert again == identity
    other = Encoder.load(str(make_folder("other", seed=8)), device="cpu").identity
    assert {key for key in identity if identity[key] != other[key]} == {"architecture", "weights_sha256"}


def test_a_real_architecture_with_random_weights() -> None:
    encoder = Encoder.load("ViT-B/32", "random", device="cpu")
    assert encoder.encode_images(pixels(1, 224)).shape == (1, 512)
    assert encoder.identity["quick_gelu"] is False
    assert encoder.image_size == 224


def test_sigmoid_models_keep_their_bias(make_folder: MakeFolder) -> None:
    folder = make_folder(init_logit_bias=-10.0, init_logit_scale=float(np.log(10)))
    encoder = Encoder.load(str(folder), device="cpu")
    assert encoder.logit_bias == -10.0
    assert encoder.logit_scale == pytest.approx(10.0)


def test_bf16_on_the_cpu(make_folder: MakeFolder) -> None:
    folder = str(make_folder())
    full, half = (Encoder.load(folder, device="cpu", precision=p) for p in ("fp32", "bf16"))
    a, b = full.encode_images(pixels()), half.encode_images(pixels())
    assert b.dtype == np.float32
    assert not np.array_equal(a, b)
    np.testing.assert_allclose(a, b, atol=0.05 * np.abs(a).max())
    assert np.array_equal(full.encode_texts(PROMPTS), half.encode_texts(PROMPTS))
    assert half.identity["precision"] == "bf16"


def test_embeddings_that_are_not_finite(make_folder: MakeFolder) -> None:
    folder = str(make_folder())
    damaged = pixels()
    damaged[1, 0, 0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"in bf16 are not finite: use fp32 \(--precision\)"):
        Encoder.load(folder, device="cpu", precision="bf16").encode_images(damaged)
    with pytest.raises(ModelError, match=r"in fp32 are not finite: the weights or the pixels are damaged"):
        Encoder.load(folder, device="cpu").encode_images(damaged)


def test_an_image_all_the_way(encoder: Encoder) -> None:
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    batch = torch.stack([encoder.transform(decode(buffer.getvalue())), encoder.transform(picture())])
    first, second = encoder.encode_images(batch)
    assert np.array_equal(first, second)
