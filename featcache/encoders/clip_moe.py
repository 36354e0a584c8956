"""CLIP-MoE: CLIP whose MLPs are mixtures of experts, from its released checkpoints into open_clip's model.

A block of either tower, on tokens x (L, W), with E experts of CLIP's own MLP:

    y = x + attention(LN_1 x),    h = LN_2 y,    p = softmax(h G^T)                                   G (E, W)
    x' = y + sum over e in top-2(p) of p_e / (sum of both p) W2_e QuickGELU(W1_e h + b1_e) + b2_e

Each token is routed by itself. Everything else is CLIP's, but for the 248 positions of the text (Long-CLIP): the first
20 are rows of `positional_embedding`, the rest of `positional_embedding_res`. Names in a checkpoint:

    visual.transformer.resblocks.N.gate.weight, visual.transformer.resblocks.N.experts.E.c_fc.weight, ….c_proj.bias
    transformer.resblocks.N.…          likewise for the text; blocks without a gate have CLIP's own `mlp`

Source: Zhang et al., CLIP-MoE (arXiv 2409.19291), and the code released with it, which carries no licence: its names
and what it computes were read, nothing is copied. That code evaluates with 4 experts and top-2, and a checkpoint does
not say the 2. Not verified: the released files themselves, which could not be fetched; their names and shapes are those
that the released training code writes and its evaluation loads.

Every token goes through every expert here, and what was not chosen counts nothing. Rows gathered for an expert would
be as many as the batch happens to send there, matrix products of another shape round differently, and an embedding
would depend on its neighbours. It costs the work of E experts instead of 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from featcache.encoders.checkpoints import content_of, unwrapped
from featcache.errors import ModelError

TOP = 2
"""Experts of a token."""
FIRST_POSITIONS = 20
"""Positions of a text whose embedding Long-CLIP left as it was."""
HEAD_WIDTH = 64
"""Of the attention of both towers, as in every ViT of OpenAI's."""
_LATER_POSITIONS = "positional_embedding_res"
_TOWERS = ("visual.transformer", "transformer")

State = Mapping[str, Tensor]


class MixtureOfExperts(nn.Module):
    """What stands for a block's MLP: experts, and the router that weighs them for each token.

    Args:
        width: W of a token.
        experts: how many E.
    """

    def __init__(self, width: int, experts: int) -> None:
        from open_clip.transformer import QuickGELU

        super().__init__()
        self.gate = nn.Linear(width, experts, bias=False)
        self.experts = nn.ModuleList()
        for _ in range(experts):
            expert = nn.Sequential()
            expert.add_module("c_fc", nn.Linear(width, 4 * width))
            expert.add_module("gelu", QuickGELU())
            expert.add_module("c_proj", nn.Linear(4 * width, width))
            self.experts.append(expert)

    @property
    def c_fc(self) -> nn.Module:
        """Where open_clip looks up the number type of a block."""
        first: nn.Module = self.experts[0].get_submodule("c_fc")
        return first

    def forward(self, tokens: Tensor) -> Tensor:
        """What is added to tokens (..., W), in their number type; the router's soft-max is in float32."""
        best, chosen = torch.softmax(self.gate(tokens).float(), -1).topk(TOP, -1)
        shares = best.new_zeros(*best.shape[:-1], len(self.experts))
        shares = shares.scatter(-1, chosen, best / best.sum(-1, keepdim=True)).to(tokens.dtype)
        added = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            share = shares[..., number, None]
            added = added + torch.where(share > 0, share * expert(tokens), 0)  # 0 times an overflow would be NaN
        return added


def config_of(file: Path) -> dict[str, Any]:
    """What open_clip calls a model's configuration, read off the shapes in a checkpoint; and `experts`, how many.

    Raises:
        ModelError: It cannot be read, or is none of CLIP-MoE.
    """
    return _config(_state(file), file)


def load(file: Path) -> nn.Module:
    """The model of a checkpoint, on the CPU in float32.

    Raises:
        ModelError: It cannot be read, is none of CLIP-MoE, or lacks tensors, has others, or some of other shapes.
    """
    import open_clip
    from open_clip.model import set_model_preprocess_cfg
    from open_clip.transform import PreprocessCfg

    state = _state(file)
    config = _config(state, file)
    experts = config.pop("experts")
    with torch.device("meta"):  # drawing a billion random numbers first would take longer than all the rest
        model: nn.Module = open_clip.CLIP(**config)
        for tower in _TOWERS:
            for number, block in model.get_submodule(f"{tower}.resblocks").named_children():
                if _gate(tower, number) in state:
                    block.mlp = MixtureOfExperts(config[_part(tower)]["width"], experts)
    weights = _as_open_clip_names_them(state, file)
    _check(weights, model.state_dict(), file)
    model.load_state_dict(weights, assign=True)
    length = config["text_cfg"]["context_length"]
    # The mask of the text is no weight, so it is in no checkpoint.
    model.attn_mask = torch.full((length, length), float("-inf")).triu_(1)
    set_model_preprocess_cfg(model, PreprocessCfg(size=config["vision_cfg"]["image_size"]).__dict__)
    return model


def _state(file: Path) -> State:
    content = content_of(file)
    if content is None:
        raise ModelError(f"{file} cannot be read as a checkpoint of torch.save or safetensors: download it again")
    found = unwrapped(content).state
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def _gate(tower: str, block: str) -> str:
    return f"{tower}.resblocks.{block}.gate.weight"


def _part(tower: str) -> str:
    return "vision_cfg" if tower.startswith("visual") else "text_cfg"


def _config(state: State, file: Path) -> dict[str, Any]:
    gates = [value for name, value in state.items() if name.endswith(".gate.weight")]
    if not gates:
        raise ModelError(
            f"{file} is no checkpoint of CLIP-MoE (no block has a gate): give its architecture as --model "
            "(`featcache models`) and the file as --pretrained"
        )
    try:
        width, _, _, patch = state["visual.conv1.weight"].shape
        grid = round((state["visual.positional_embedding"].shape[0] - 1) ** 0.5)
        context, text_width = state["positional_embedding"].shape
        vocabulary, dim = len(state["token_embedding.weight"]), state["text_projection"].shape[1]
        experts = gates[0].shape[0]
    except KeyError as error:
        raise ModelError(f"{file} lacks {error.args[0]} of CLIP-MoE: download it again") from error
    except (ValueError, IndexError) as error:
        raise ModelError(f"{file} holds weights of other dimensions than CLIP-MoE's: download it again") from error
    if experts < TOP or width % HEAD_WIDTH or text_width % HEAD_WIDTH:
        raise ModelError(
            f"{file} has {experts} experts and towers {width} and {text_width} wide; expected {TOP} experts or more "
            f"and multiples of {HEAD_WIDTH}: is it CLIP-MoE's?"
        )
    vision, text = (
        len({_block(name) for name in state if name.startswith(f"{tower}.resblocks.")}) for tower in _TOWERS
    )
    return {
        "embed_dim": dim,
        "quick_gelu": True,
        "vision_cfg": {"image_size": patch * grid, "patch_size": patch, "width": width, "layers": vision},
        "text_cfg": {
            "context_length": context,
            "vocab_size": vocabulary,
            "width": text_width,
            "heads": text_width // HEAD_WIDTH,
            "layers": text,
        },
        "experts": experts,
    }


def _block(name: str) -> str:
    """The number of the block that a tensor belongs to."""
    return name.partition(".resblocks.")[2].partition(".")[0]


def _as_open_clip_names_them(state: State, file: Path) -> dict[str, Tensor]:
    """Float32 weights by their names in the model: a mixture stands where the MLP stood, positions are one table."""
    if _LATER_POSITIONS not in state or state[_LATER_POSITIONS].shape != state["positional_embedding"].shape:
        raise ModelError(f"{file} has no {_LATER_POSITIONS} beside positional_embedding: is it CLIP-MoE's?")
    first, later = state["positional_embedding"], state[_LATER_POSITIONS]
    merged = {
        name.replace(".gate.", ".mlp.gate.").replace(".experts.", ".mlp.experts."): value.float()
        for name, value in state.items()
        if name != _LATER_POSITIONS
    }
    merged["positional_embedding"] = torch.cat([first[:FIRST_POSITIONS], later[FIRST_POSITIONS:]]).float()
    return merged


def _check(weights: State, wanted: State, file: Path) -> None:
    """Refuse weights that are not the model's, naming the first.

    Raises:
        ModelError: Some are missing, unknown or of another shape.
    """
    for what, names in (("lacks", wanted.keys() - weights.keys()), ("has unknown", weights.keys() - wanted.keys())):
        if names:
            raise ModelError(
                f"{file} {what} {len(names)} tensors of CLIP-MoE, such as {min(names)}: is it the whole file?"
            )
    for name, value in weights.items():
        if value.shape != wanted[name].shape:
            raise ModelError(
                f"{file}: {name} is {tuple(value.shape)}, expected {tuple(wanted[name].shape)} beside the other tensors"
            )
