"""How a model sees pictures: its evaluation transform, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch
    from PIL import Image


class Evaluation(NamedTuple):
    """An evaluation transform."""

    transform: Callable[[Image.Image], torch.Tensor]
    """PIL image -> (3, H, W) float32; torchvision's `Compose` that ends with the change to a tensor and `Normalize`."""
    settings: Mapping[str, Any]
    """What it was made from, as JSON-able values."""
    size: tuple[int, int]
    """(H, W)."""
    short: int
    """Pixels of a picture's short side once it is resized, before it is cropped."""
    mean: tuple[float, ...]
    """(3,) of its normalisation."""
    std: tuple[float, ...]
    """(3,) likewise."""


def evaluation_of(model: torch.nn.Module) -> Evaluation:
    """That of a model, which brings its own or is open_clip's."""
    own = getattr(model, "evaluation", None)
    if isinstance(own, Evaluation):
        return own
    from open_clip.transform import PreprocessCfg, image_transform_v2

    settings: dict[str, Any] = model.visual.preprocess_cfg  # type: ignore[union-attr, assignment]
    config = PreprocessCfg(**settings)
    size = (config.size, config.size) if isinstance(config.size, int) else (config.size[0], config.size[1])
    transform = image_transform_v2(config, is_train=False)
    return Evaluation(transform, settings, size, min(size), tuple(config.mean), tuple(config.std))
