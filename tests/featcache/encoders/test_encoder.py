"""The encoder against open_clip itself: weights, activation, transform, precision, identity."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU
from PIL import Image
from safetensors.torch import save_file

from featcache.encoders import hub, models, weights
from featcache.encoders.encoder import Encoder, resolve_device, resolve_precision
from featcache.errors import ModelError

MODEL = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
PREPROCESS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.3], "interpolation": "bilinear", "resize_mode": "squash"}
PROMPTS = ["a photo of a cat.", "a dog", "seven"]

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


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).convert(mode)


def activations(encoder: Encoder) -> set[type]:
    return {type(m) for m in encoder._model.modules() if isinstance(m, torch.nn.GELU | QuickGELU)}


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
    monkeypatch.setattr("featcache.encoders.encoder.TEXT_BATCH", 2)
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


def test_transforms_travel_to_worker_processes(encoder: Encoder) -> None:
    for transform in (encoder.transform, encoder.view_transform()):
        assert callable(pickle.loads(pickle.dumps(transform)))
    again = pickle.loads(pickle.dumps(encoder.transform))
    assert torch.equal(again(picture()), encoder.transform(picture()))


def test_views_are_seeded_and_leave_the_global_state_alone(encoder: Encoder) -> None:
    draw = encoder.view_transform()
    state = torch.get_rng_state()
    views = [draw(picture(), seed=seed) for seed in (0, 1, 0)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(views[0], views[2])
    assert not torch.equal(views[0], views[1])
    assert views[0].shape == (3, 32, 32)
    flat = draw(Image.new("P", (50, 40), 0), seed=3)
    assert torch.allclose(flat, ((0 - torch.tensor(draw.mean)) / torch.tensor(draw.std))[:, None, None].expand_as(flat))


def test_views_mirror_half_and_crop_half_or_more(encoder: Encoder) -> None:
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (64, 1)))
    draw = dataclasses.replace(encoder.view_transform(), mean=(0.0,) * 3, std=(1.0,) * 3)
    views = torch.stack([draw(ramp, seed=seed) for seed in range(200)])[:, 0]
    span = views.mean(1)[:, -1] - views.mean(1)[:, 0]  # > 0 as it was, < 0 mirrored; its size is the crop's width
    assert 0.35 < (span < 0).float().mean() < 0.65
    assert 0.55 < span.abs().min() < 0.7  # width >= sqrt(0.5 * 3/4)


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


def test_a_real_architecture_with_random_weights() -> None:
    encoder = Encoder.load("ViT-B/32", "random", device="cpu")
    assert encoder.encode_images(pixels(1, 224)).shape == (1, 512)
    assert encoder.identity["quick_gelu"] is False
    assert encoder.image_size == 224


@pytest.fixture
def small_built_ins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """open_clip's ViT-B-16 made small, and its download replaced by a file: all else is the real loading code."""
    for name in ("ViT-B-16", "ViT-B-16-quickgelu"):
        quick = {"quick_gelu": True} if name.endswith("quickgelu") else {}
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, MODEL | quick)
    torch.save(open_clip.CLIP(**MODEL).state_dict(), tmp_path / "downloaded.pt")
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda *_, **__: str(tmp_path / "downloaded.pt"))


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


def test_without_a_network_the_hub_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    seen: list[bool] = []

    def fail(*_: object, **__: object) -> None:
        seen.append(constants.HF_HUB_OFFLINE)
        raise FileNotFoundError("no network")

    def no_name(*_: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(hub, "getproxies", dict)
    monkeypatch.setattr(hub.socket, "getaddrinfo", no_name)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-16", MODEL)
    monkeypatch.setattr(open_clip.factory, "download_pretrained", fail)
    with pytest.raises(ModelError, match="no network"):
        Encoder.load("ViT-B-16", device="cpu")
    assert seen == [True]
    assert constants.HF_HUB_OFFLINE is False


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


def test_devices_and_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    for device in ("cuda", "cuda:1", "mps"):
        with pytest.raises(ModelError, match=rf"'{device}' was asked for, this machine has cpu: give one of these"):
            resolve_device(device)
    with pytest.raises(ModelError, match=r"no device 'gpu': give auto, cuda, cuda:0, mps or cpu"):
        resolve_device("gpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("auto") == torch.device("cuda")
    with pytest.raises(ModelError, match=r"'cuda:1' was asked for, this machine has cuda, mps, cpu"):
        resolve_device("cuda:1")
    assert resolve_precision("auto", torch.device("cuda")) == "fp16"
    assert resolve_precision("auto", torch.device("cpu")) == "fp32"
    with pytest.raises(ModelError, match="give bf16 or fp32"):
        resolve_precision("fp16", torch.device("cpu"))
    with pytest.raises(ModelError, match="no precision 'half': give auto, fp32, fp16, bf16"):
        resolve_precision("half", torch.device("cpu"))


def test_an_image_all_the_way(encoder: Encoder) -> None:
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    from featcache.images.decode import decode

    batch = torch.stack([encoder.transform(decode(buffer.getvalue())), encoder.transform(picture())])
    first, second = encoder.encode_images(batch)
    assert np.array_equal(first, second)
