"""Encoders of images alone: any model of timm as `timm:NAME`, such as DINOv2, without its classifier.

timm does the loading, and says how a model sees pictures: its own data configuration. What is embedded is what the
classifier would see. There is no text: a cache of such an encoder is for joining with one that has
(`adapters fit --cache A --cache B`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torchvision.transforms import Compose

from featcache.encoders.evaluation import Evaluation
from featcache.errors import ModelError


class VisionModel(torch.nn.Module):
    """A model of timm behind the names that open_clip's have.

    Attributes:
        visual: What takes (B, 3, H, W) and gives (B, D).
    """

    def __init__(self, visual: torch.nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def encode_image(self, pixels: torch.Tensor, *, normalize: bool = False) -> torch.Tensor:
        """(B, D) of normalised pixels (B, 3, H, W); raw, whatever `normalize` says, which is never asked for."""
        features: torch.Tensor = self.visual(pixels)
        return features

    @property
    def evaluation(self) -> Evaluation:
        """How the model sees pictures: timm's evaluation transform, and between cropping and numbers to RGB."""
        from open_clip.transform import MaybeConvertMode
        from timm.data.transforms_factory import create_transform

        config = _config(self.visual)
        *resized, to_tensor, normalise = create_transform(**config, is_training=False).transforms
        short = resized[0].size
        return Evaluation(
            transform=Compose([*resized, MaybeConvertMode("RGB"), to_tensor, normalise]),
            settings={name: list(value) if isinstance(value, tuple) else value for name, value in config.items()},
            size=tuple(config["input_size"][1:]),
            short=int(short if isinstance(short, int) else min(short)),
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
        )


def vision_config(architecture: str) -> Mapping[str, Any]:
    """Width and input size of `timm:NAME`, as open_clip's configurations say them; no weights are made.

    Raises:
        ModelError: timm has no such model, or it gives no row for an image.
    """
    import timm

    prefix, _, name = architecture.partition(":")
    if not timm.is_model(name):
        near = difflib.get_close_matches(name.partition(".")[0], timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(f'{prefix}:{each}' for each in near)}? " if near else ""
        raise ModelError(f"no model '{architecture}': {hint}timm.list_models() lists the names")
    with torch.device("meta"):
        visual = timm.create_model(name, pretrained=False, num_classes=0).eval()
        size = _config(visual)["input_size"]
        features = visual(torch.empty(1, *size))
    if features.ndim != 2:
        raise ModelError(f"{architecture} gives {tuple(features.shape)} for an image, expected (1, D): take another")
    return {"embed_dim": features.shape[1], "vision_cfg": {"image_size": list(size[1:])}}


def create_vision(architecture: str, *, file: str | None, random: bool) -> VisionModel:
    """Build `timm:NAME` on the CPU in float32, with timm's own weights, those of a file, or drawn ones.

    Args:
        architecture: As above.
        file: A state dict, `.safetensors` or what `torch.load` reads without running code; a classifier in it is left
            out.
        random: Whether weights stay as they were drawn.
    """
    import timm

    name = architecture.partition(":")[2]
    visual = timm.create_model(name, pretrained=not random and file is None, num_classes=0)
    if file is not None:
        from safetensors.torch import load_file

        state = load_file(file) if Path(file).suffix == ".safetensors" else torch.load(file, weights_only=True)
        recorded: Mapping[str, Any] = visual.pretrained_cfg  # type: ignore[assignment]
        classifier = recorded.get("classifier") or ()
        heads = tuple(f"{each}." for each in ([classifier] if isinstance(classifier, str) else classifier))
        visual.load_state_dict({key: value for key, value in state.items() if not key.startswith(heads)})
    return VisionModel(visual)


def _config(visual: torch.nn.Module) -> dict[str, Any]:
    from timm.data.config import resolve_model_data_config

    config: dict[str, Any] = resolve_model_data_config(visual)  # type: ignore[no-untyped-call]
    return config
