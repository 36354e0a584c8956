"""The embedded model `tiny`: loads, is small, knows digits, tells texts apart, and its recipe is deterministic."""

from __future__ import annotations

import hashlib
import importlib
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image, ImageFont

TINY = Path(__file__).parents[2] / "data" / "tiny"
EUROSAT = (
    "Annual Crop Land", "Forest", "Herbaceous Vegetation Land", "Highway or Road", "Industrial Buildings",
    "Pasture Land", "Permanent Crop Land", "Residential Buildings", "River", "Sea or Lake",
)  # fmt: skip


def recipe_module(name: str) -> ModuleType:
    """A module of the recipe, imported as `python data/tiny/train.py` imports it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TINY)
        return importlib.import_module(name)


@pytest.fixture(scope="module", autouse=True)
def _forget_recipe() -> Iterator[None]:
    yield
    for name in ("train", "scenes", "glyphs", "evaluate"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def tiny() -> tuple[torch.nn.Module, object, object]:
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{TINY}")
    return model.eval(), transform, open_clip.get_tokenizer(f"local-dir:{TINY}")


def test_loads_as_an_open_clip_directory(tiny):
    model, transform, tokenize = tiny
    pixels = transform(Image.new("RGB", (64, 64), "green"))
    assert pixels.shape == (3, 32, 32)
    with torch.inference_mode():
        assert model.encode_image(pixels[None]).shape == (1, 128)
        assert model.encode_text(tokenize(["a photo of a cat."])).shape == (1, 128)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert 4e6 < sum(p.numel() for p in model.parameters()) < 7e6
    assert 1.0 < model.logit_scale.exp().item() <= 100.001


def test_takes_at_most_8_mb_in_a_wheel(tmp_path):
    wheel = tmp_path / "tiny.zip"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in TINY.iterdir():
            if file.is_file():
                archive.write(file, file.name)
    assert wheel.stat().st_size <= 8e6


@pytest.mark.parametrize("form", ["words", "figures"])
def test_zero_shot_on_digits_it_never_saw(form, digits):
    features, labels, weights = digits
    accuracy = ((features @ weights[form].T).argmax(1) == labels).mean()
    assert 0.6 < accuracy < 0.9  # it knows something, and leaves room for few-shot heads


def test_few_shots_gain_over_zero_shot(digits):
    features, labels, weights = digits
    zero_shot = ((features @ weights["words"].T).argmax(1) == labels).mean()
    assert recipe_module("evaluate").probe(features, labels, shots=16, seed=1) > zero_shot + 0.1


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    return recipe_module("evaluate").encode(TINY)


def test_texts_of_words_it_was_not_trained_on_differ(tiny):
    model, _, tokenize = tiny
    with torch.inference_mode():
        texts = model.encode_text(tokenize([f"a centered satellite photo of {c}." for c in EUROSAT]), normalize=True)
    cosines = texts @ texts.T - 2 * torch.eye(len(EUROSAT))
    assert cosines.max() < 0.999


def test_colour_is_in_the_embedding(tiny):
    model, transform, tokenize = tiny
    names = ("red", "green", "blue", "yellow")
    pixels = torch.stack([transform(Image.new("RGB", (64, 64), name)) for name in names])
    with torch.inference_mode():
        texts = model.encode_text(tokenize([f"a photo of a {name} background." for name in names]), normalize=True)
        images = model.encode_image(pixels, normalize=True)
    assert (images @ texts.T).argmax(1).tolist() == [0, 1, 2, 3]


def short_run(seed: int) -> dict[str, torch.Tensor]:
    """Weights after three steps on the one font that Pillow brings along."""
    train, glyphs = recipe_module("train"), recipe_module("glyphs")
    bitmaps = glyphs.render({"default": [ImageFont.load_default(72)]})
    return train.train(bitmaps, steps=3, batch_size=16, learning_rate=1e-3, seed=seed).state_dict()


def test_the_recipe_gives_the_same_weights_for_the_same_seed(capsys):
    first, again, other = short_run(0), short_run(0), short_run(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["visual.conv1.weight"], other["visual.conv1.weight"])
    assert "step 3 loss" in capsys.readouterr().out


def test_only_rows_of_tokens_in_captions_are_trained():
    train = recipe_module("train")
    trained = train.vocabulary()
    embedding = short_run(0)["token_embedding.weight"]
    rest = torch.ones(len(embedding), dtype=torch.bool)
    rest[trained] = False
    assert (embedding[rest].abs() == train.TOKEN_SIGMA).all()
    assert (embedding[trained].abs() != train.TOKEN_SIGMA).any()


def test_captions_use_only_trained_tokens():
    scenes, glyphs, train = (recipe_module(name) for name in ("scenes", "glyphs", "train"))
    data = scenes.Scenes(glyphs.render({"default": [ImageFont.load_default(72)]}), seed=0)
    captions = data.draw(2000).captions
    tokens = open_clip.SimpleTokenizer(context_length=32)(captions).unique()
    assert set(tokens.tolist()) <= set(train.vocabulary().tolist())
    assert all(word in " ".join(captions) for word in ("handwritten", "seven", "7", "background", "striped"))


def test_the_committed_configuration_is_the_recipe_s(tmp_path):
    train = recipe_module("train")
    train.save(train.build(0).eval(), tmp_path)
    assert (tmp_path / "open_clip_config.json").read_bytes() == (TINY / "open_clip_config.json").read_bytes()


def test_the_card_names_these_weights_and_these_fonts():
    card, train = (TINY / "README.md").read_text(), recipe_module("train")
    weights = hashlib.sha256((TINY / train.WEIGHTS).read_bytes()).hexdigest()
    assert all(digest in card for digest in (weights, train.FONTS_SHA256, train.GLYPHS_SHA256))
