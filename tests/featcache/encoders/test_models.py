"""Names, tags and QuickGELU, resolved without weights."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest

from featcache.encoders import models
from featcache.encoders.models import canonical, describe, list_models
from featcache.errors import ModelError

CONFIG = {
    "model_cfg": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "my-model"
    path.mkdir()
    (path / "open_clip_config.json").write_text(json.dumps(CONFIG))
    return path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("ViT-B/16", None), ("ViT-B-16", "openai")),
        (("vit-b-16", "OpenAI"), ("ViT-B-16", "openai")),
        (("ViT-L/14@336px", None), ("ViT-L-14-336", "openai")),
        (("ViT-B-16", "laion2b-s34b-b88k"), ("ViT-B-16", "laion2b_s34b_b88k")),
        (("RN50", "random"), ("RN50", "random")),
        (("ViT-B/32-quickgelu", None), ("ViT-B-32-quickgelu", "openai")),
        (("tiny", None), ("tiny", "local")),
        (("tiny", "random"), ("tiny", "random")),
        (("hf-hub:owner/Name", None), ("hf-hub:owner/Name", "hub")),
        (("ViT-B/99", None), ("ViT-B-99", "openai")),
        (("/no/such/folder", None), ("/no/such/folder", "local")),
    ],
)
def test_canonical_names(given: tuple[str, str | None], expected: tuple[str, str]) -> None:
    assert canonical(*given) == expected
    assert canonical(*expected) == expected


def test_canonical_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    for name in ("my-model", "./my-model", "local-dir:my-model", str(folder)):
        assert canonical(name) == (str(folder), "local")
    assert canonical("ViT-B/32", "weights.pt") == ("ViT-B-32", str(folder.parent / "weights.pt"))


def test_every_architecture_and_tag_is_resolved_with_the_tag_s_own_quick_gelu() -> None:
    ambiguous = (
        "roberta-ViT-B-32",
        "laion2b_s12b_b32k",
    )  # open_clip 3.3: QuickGELU in the architecture, not in the tag
    count = 0
    for architecture, tags in list_models():
        if architecture == "tiny":
            continue
        assert describe(architecture, "random").architecture == architecture
        for tag in tags:
            if (architecture, tag) == ambiguous:
                continue
            info = describe(architecture, tag)
            config = open_clip.get_model_config(architecture)
            assert info.quick_gelu == open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
            assert (info.image_size, info.dim) == (config["vision_cfg"]["image_size"], config["embed_dim"])
            assert tag in info.tags
            count += 1
    assert count > 150
    with pytest.raises(ModelError, match=r"type --model hf-hub:laion/CLIP-ViT-B-32-roberta-base-laion2B-s12B-b32k"):
        describe(*ambiguous)


def test_quick_gelu_is_the_tag_s_not_the_architecture_s() -> None:
    assert describe("ViT-B/16").quick_gelu
    assert describe("ViT-B-16-quickgelu", "openai").quick_gelu
    assert not describe("ViT-B-16", "laion2b_s34b_b88k").quick_gelu
    assert not describe("ViT-B-16", "random").quick_gelu
    assert describe("ViT-B-16-quickgelu", "random").quick_gelu


@pytest.mark.parametrize(
    ("model", "pretrained", "message"),
    [
        (
            "ViT-B-16-quickgelu",
            "laion2b_s34b_b88k",
            r"trained without it: type --model ViT-B-16 --pretrained laion2b_s34",
        ),
        ("ViT-B/16", "laion2b", r"ViT-B-16 has no tag 'laion2b': give --pretrained with one of openai, laion400m_e31"),
        ("ViT-B-16-SigLIP", None, r"has no 'openai' weights: give --pretrained with one of webli$"),
        ("ViT-M-16", None, r"ViT-M-16 has no pretrained tags: give a checkpoint file \(--pretrained FILE\) or random"),
        ("ViT-B-61", None, r"no model 'ViT-B-61': did you mean ViT-B-.* `featcache models` lists the names"),
        ("vitb16", None, r"did you mean ViT-B-16 or"),
        ("tinny", None, r"did you mean tiny\?"),
        ("resnet", None, r"no model 'resnet'"),
        (
            "ViT-B-16",
            "/no/such/file.pt",
            r"no checkpoint file /no/such/file\.pt: give an existing file or one of the tags",
        ),
        ("/no/such/folder", None, r"no open_clip model directory: it must hold open_clip_config\.json and the weights"),
    ],
)
def test_mistakes_end_in_one_line_that_says_what_to_type(model: str, pretrained: str | None, message: str) -> None:
    with pytest.raises(ModelError, match=message) as error:
        describe(model, pretrained)
    assert "\n" not in str(error.value)


def test_local_directories(folder: Path) -> None:
    info = describe(str(folder))
    assert (info.pretrained, info.quick_gelu, info.image_size, info.dim) == ("local", False, 32, 24)
    assert describe(str(folder), "random").pretrained == "random"
    assert describe(info.architecture, info.pretrained) == info
    with pytest.raises(ModelError, match=r"brings its own weights: leave --pretrained out"):
        describe(str(folder), "openai")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"model_cfg": {"embed_dim": 4}}',
        '{"model_cfg": {"embed_dim": 4, "vision_cfg": {}}}',
        '{"a": 1}',
    ],
)
def test_damaged_directories(folder: Path, text: str) -> None:
    (folder / "open_clip_config.json").write_text(text)
    with pytest.raises(ModelError, match=r"is no open_clip configuration .*it needs model_cfg"):
        describe(str(folder))


def test_tiny_is_the_embedded_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "data_dir", lambda: folder.parent)
    folder.rename(folder.parent / "tiny")
    assert describe("tiny") == models.ModelInfo("tiny", "local", False, 32, 24, ("local",))
    assert list_models()[0] == ("tiny", ("local",))
    assert models.open_clip_name("tiny") == f"local-dir:{folder.parent / 'tiny'}"


def test_hub_models_need_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise FileNotFoundError("Failed to download file\n(open_clip_config.json)")

    monkeypatch.setattr(open_clip, "get_model_config", fail)
    with pytest.raises(ModelError, match=r"could not fetch .* of hf-hub:a/b \(Failed to download file \(open_clip"):
        describe("hf-hub:a/b")
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: CONFIG["model_cfg"])
    assert describe("hf-hub:a/b").pretrained == "hub"


@pytest.mark.parametrize(
    "content",
    [b"", b"[" * 5000, b"[]", b'{"model_cfg": 3}', b'{"model_cfg": {"embed_dim": Infinity, "vision_cfg": {}}}',
     b'{"model_cfg": {"embed_dim": 4, "vision_cfg": "x", "text_cfg": {}}}', b"\xff\xfe"],
)  # fmt: skip
def test_a_damaged_configuration_is_a_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_bytes(content)
    with pytest.raises(ModelError, match="is no open_clip configuration") as told:
        models.describe(str(tmp_path))
    assert "\n" not in str(told.value)
