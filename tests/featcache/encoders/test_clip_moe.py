"""CLIP-MoE's released layout against its equations, token by token, in double precision."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from featcache.encoders.clip_moe import MixtureOfExperts, load
from featcache.encoders.encoder import Encoder
from featcache.encoders.models import canonical, describe, local_weights_sha256
from featcache.encoders.of_identity import encoder_of
from featcache.errors import ModelError
from tests.featcache.encoders.conftest import pixels

IMAGE, TEXT, DIM, PATCH, SIDE, CONTEXT, EXPERTS = 128, 64, 24, 8, 32, 40, 4
PROMPTS = [
    "a dog",
    "a photo of many small birds that sit on a wire over a street in a town by the sea, seen from far away",
]
State = dict[str, Tensor]


def released(seed: int = 0, vocabulary: int = 10) -> State:
    """Random weights by the names that the released code writes, in half precision where it has that.

    Args:
        seed: of the weights.
        vocabulary: tokens that are known; CLIP's has 49,408.
    """
    drawn = torch.Generator().manual_seed(seed)

    def tensor(*shape: int, scale: float = 0.3) -> Tensor:
        return torch.randn(shape, generator=drawn) * scale

    state: State = {
        "positional_embedding": tensor(CONTEXT, TEXT),
        "positional_embedding_res": tensor(CONTEXT, TEXT),
        "text_projection": tensor(TEXT, DIM).half(),
        "logit_scale": torch.tensor(4.0),
        "visual.class_embedding": tensor(IMAGE),
        "visual.positional_embedding": tensor((SIDE // PATCH) ** 2 + 1, IMAGE),
        "visual.proj": tensor(IMAGE, DIM).half(),
        "visual.conv1.weight": tensor(IMAGE, 3, PATCH, PATCH, scale=0.1).half(),
        "token_embedding.weight": tensor(vocabulary, TEXT),
    }
    norms = {"visual.ln_pre": IMAGE, "visual.ln_post": IMAGE, "ln_final": TEXT}
    for tower, width, blocks in (("visual.transformer", IMAGE, 3), ("transformer", TEXT, 2)):
        for number in range(blocks):
            block = f"{tower}.resblocks.{number}"
            norms |= {f"{block}.ln_1": width, f"{block}.ln_2": width}
            state[f"{block}.attn.in_proj_weight"] = tensor(3 * width, width, scale=0.15).half()
            state[f"{block}.attn.in_proj_bias"] = tensor(3 * width).half()
            state[f"{block}.attn.out_proj.weight"] = tensor(width, width, scale=0.1).half()
            state[f"{block}.attn.out_proj.bias"] = tensor(width).half()
            mixed = tower == "transformer" or number > 0  # the released files have no other
            if mixed:
                state[f"{block}.gate.weight"] = tensor(EXPERTS, width).half()
            for mlp in [f"{block}.experts.{e}" for e in range(EXPERTS)] if mixed else [f"{block}.mlp"]:
                state[f"{mlp}.c_fc.weight"] = tensor(4 * width, width, scale=0.1).half()
                state[f"{mlp}.c_fc.bias"] = tensor(4 * width).half()
                state[f"{mlp}.c_proj.weight"] = tensor(width, 4 * width, scale=0.1).half()
                state[f"{mlp}.c_proj.bias"] = tensor(width).half()
    for norm, width in norms.items():
        state |= {f"{norm}.weight": 1 + tensor(width), f"{norm}.bias": tensor(width)}
    return state


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.save(released(), tmp_path / "clip_moe.pt")
    return tmp_path / "clip_moe.pt"


def _norm(row: Tensor, state: State, name: str) -> Tensor:
    return (row - row.mean()) / (row.var(unbiased=False) + 1e-5).sqrt() * state[f"{name}.weight"] + state[
        f"{name}.bias"
    ]


def _mlp(row: Tensor, state: State, name: str) -> Tensor:
    hidden = state[f"{name}.c_fc.weight"] @ row + state[f"{name}.c_fc.bias"]
    hidden = hidden * torch.sigmoid(1.702 * hidden)
    return state[f"{name}.c_proj.weight"] @ hidden + state[f"{name}.c_proj.bias"]


def _mixture(row: Tensor, state: State, block: str) -> Tensor:
    if f"{block}.gate.weight" not in state:
        return _mlp(row, state, f"{block}.mlp")
    p = torch.softmax(state[f"{block}.gate.weight"] @ row, 0)
    first, second = sorted(range(EXPERTS), key=lambda e: -float(p[e]))[:2]
    outputs = (p[e] * _mlp(row, state, f"{block}.experts.{e}") for e in (first, second))
    return sum(outputs, torch.zeros_like(row)) / (p[first] + p[second])


def _tower(rows: Tensor, state: State, tower: str, blocks: int, *, causal: bool) -> Tensor:
    """Tokens (L, W) after all blocks, token by token and head by head."""
    for number in range(blocks):
        block = f"{tower}.resblocks.{number}"
        normed = torch.stack([_norm(row, state, f"{block}.ln_1") for row in rows])
        projected = normed @ state[f"{block}.attn.in_proj_weight"].T + state[f"{block}.attn.in_proj_bias"]
        q, k, v = projected.chunk(3, 1)
        attended = torch.zeros_like(rows)
        for i in range(len(rows)):
            seen = slice(0, i + 1) if causal else slice(None)
            for head in range(rows.shape[1] // 64):
                at = slice(64 * head, 64 * (head + 1))
                attended[i, at] = torch.softmax(k[seen, at] @ q[i, at] / 8, 0) @ v[seen, at]
        rows = rows + attended @ state[f"{block}.attn.out_proj.weight"].T + state[f"{block}.attn.out_proj.bias"]
        rows = torch.stack([row + _mixture(_norm(row, state, f"{block}.ln_2"), state, block) for row in rows])
    return rows


def _image(picture: Tensor, state: State) -> Tensor:
    """The embedding (D,) of normalised pixels (3, H, W)."""
    patches = [
        picture[:, y : y + PATCH, x : x + PATCH].flatten() for y in range(0, SIDE, PATCH) for x in range(0, SIDE, PATCH)
    ]
    tokens = torch.stack(patches) @ state["visual.conv1.weight"].flatten(1).T
    tokens = torch.cat([state["visual.class_embedding"][None], tokens]) + state["visual.positional_embedding"]
    tokens = torch.stack([_norm(row, state, "visual.ln_pre") for row in tokens])
    first = _tower(tokens, state, "visual.transformer", 3, causal=False)[0]
    return _norm(first, state, "visual.ln_post") @ state["visual.proj"]


def _text(prompt: str, state: State) -> Tensor:
    """The embedding (D,) of a sentence: what follows its end cannot be seen from there, and is left out."""
    tokens = open_clip.SimpleTokenizer(context_length=CONTEXT)([prompt])[0]
    tokens = tokens[: int(tokens.argmax()) + 1]
    rows = state["token_embedding.weight"][tokens]
    for i in range(len(rows)):
        rows[i] += state["positional_embedding" if i < 20 else "positional_embedding_res"][i]
    last = _tower(rows, state, "transformer", 2, causal=True)[-1]
    return _norm(last, state, "ln_final") @ state["text_projection"]


def test_both_towers_are_the_equations(tmp_path: Path) -> None:
    weights = released(vocabulary=49408)
    torch.save(weights, tmp_path / "whole.pt")
    encoder = Encoder.load(str(tmp_path / "whole.pt"), device="cpu")
    state = {name: value.double() for name, value in weights.items()}
    images = torch.stack([_image(picture.double(), state) for picture in pixels(2, SIDE)])
    texts = torch.stack([_text(prompt, state) for prompt in PROMPTS])
    assert len(open_clip.SimpleTokenizer(context_length=CONTEXT)(PROMPTS)[1].nonzero()) > 20
    for found, expected in ((encoder.encode_images(pixels(2, SIDE)), images), (encoder.encode_texts(PROMPTS), texts)):
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4 * float(expected.abs().max()))
    assert encoder.logit_scale == pytest.approx(np.exp(4))


def test_an_embedding_does_not_depend_on_its_neighbours(file: Path) -> None:
    encoder = Encoder.load(str(file), device="cpu")
    several = encoder.encode_images(pixels(3, SIDE))
    other = pixels(3, SIDE)
    other[1:] *= -2
    assert np.array_equal(encoder.encode_images(other)[0], several[0])


def test_an_expert_that_was_not_chosen_may_overflow() -> None:
    mixture = MixtureOfExperts(8, 3)
    with torch.no_grad():
        mixture.gate.weight.copy_(torch.tensor([1.0, 0.0, -1.0])[:, None].expand(3, 8))
        mixture.experts[2].get_parameter("c_proj.bias").fill_(float("inf"))
    assert bool(mixture(torch.ones(2, 8)).isfinite().all())
    assert not bool(mixture(-torch.ones(2, 8)).isfinite().all())


def test_the_identity_is_its_own(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder.load(str(file), device="cpu")
    identity = encoder.identity
    assert (identity["architecture"], identity["pretrained"]) == (str(file), "local")
    assert (identity["experts"], identity["quick_gelu"], identity["context_length"]) == ("top 2 of 4", True, CONTEXT)
    assert encoder_of(identity).identity == identity
    monkeypatch.chdir(tmp_path)
    assert canonical("clip_moe.pt") == canonical(str(file)) == (str(file), "local")
    assert local_weights_sha256("clip_moe.pt") is not None
    info = describe("clip_moe.pt")
    assert (info.dim, info.image_size, info.experts) == (DIM, SIDE, "top 2 of 4")
    # A folder with that file alone, also as safetensors and in a wrapper, holds the same weights.
    folder = tmp_path / "folder"
    folder.mkdir()
    save_file({f"module.{name}": value for name, value in released().items()}, folder / "model.safetensors")
    again = Encoder.load(str(folder), device="cpu").identity
    assert {key for key in identity if identity[key] != again[key]} == {"architecture"}
    torch.save(released(seed=1), file)
    assert Encoder.load(str(file), device="cpu").identity["weights_sha256"] != identity["weights_sha256"]


def test_half_precision_is_near(file: Path) -> None:
    full, half = (Encoder.load(str(file), device="cpu", precision=each) for each in ("fp32", "bf16"))
    a, b = (encoder.encode_images(pixels(2, SIDE)) for encoder in (full, half))
    assert 1e-4 < np.abs(a - b).max() / np.abs(a).max() < 0.2


GATE, LAST = "transformer.resblocks.1.gate.weight", "visual.transformer.resblocks.2.experts.3.c_proj.bias"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {LAST: None},
            r"lacks 1 tensors of CLIP-MoE, such as visual\.transformer\.resblocks\.2\.mlp\.experts\.3\.c_proj",
        ),
        ({"visual.new": torch.ones(1)}, r"has unknown 1 tensors of CLIP-MoE, such as visual\.new"),
        ({GATE: torch.ones(5, TEXT)}, r"transformer\.resblocks\.1\.mlp\.gate\.weight is \(5, 64\), expected \(4, 64\)"),
        ({"ln_final.weight": torch.ones(3)}, r"ln_final\.weight is \(3,\), expected \(64,\)"),
        ({"positional_embedding_res": None}, "has no positional_embedding_res beside positional_embedding"),
        ({"visual.conv1.weight": None}, r"lacks visual\.conv1\.weight of CLIP-MoE"),
        ({"visual.conv1.weight": torch.ones(2)}, "holds weights of other dimensions than CLIP-MoE's"),
        ({"visual.conv1.weight": torch.ones(100, 3, 8, 8)}, "towers 100 and 64 wide; expected"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Tensor | None], said: str, tmp_path: Path) -> None:
    state = {name: value for name, value in (released() | changes).items() if value is not None}
    torch.save(state, tmp_path / "wrong.pt")
    with pytest.raises(ModelError, match=said) as error:
        load(tmp_path / "wrong.pt")
    assert "\n" not in str(error.value)


def test_other_files_are_refused(file: Path, tmp_path: Path) -> None:
    torch.save({"logit_scale": torch.ones(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match="no checkpoint of CLIP-MoE .no block has a gate.: give its architecture"):
        describe(str(tmp_path / "other.pt"))
    (tmp_path / "damaged.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ModelError, match="cannot be read as a checkpoint"):
        describe(str(tmp_path / "damaged.pt"))
    with pytest.raises(ModelError, match="brings its own weights: leave --pretrained out"):
        describe(str(file), "random")
    folder = tmp_path / "two"
    folder.mkdir()
    for name in ("a.pt", "b.pt"):
        torch.save(released(), folder / name)
    with pytest.raises(ModelError, match=re.escape("or one checkpoint of CLIP-MoE alone")):
        describe(str(folder))
