"""`featcache models`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featcache.commands.shared.options import Json
from featcache.commands.shared.show import show
from featcache.show.page import Facts, Page, Table

if TYPE_CHECKING:
    from featcache.encoders.models import ModelInfo


def models(
    model: Annotated[str | None, typer.Argument(help="A model, such as ViT-B/16; none: list them all.")] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="A pretrained tag. Default: openai.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """List the encoders, or tell about one; downloads no weights."""
    from featcache.encoders.models import describe, list_models

    if model:
        found = describe(model, pretrained)
        show(lambda: model_json(found), lambda: model_page(found), json=json)
    else:
        known = list_models()
        show(lambda: models_json(known), lambda: models_page(known), json=json)


def model_json(model: ModelInfo) -> dict[str, Any]:
    """The object that `featcache models MODEL --json` prints."""
    return {
        "architecture": model.architecture,
        "pretrained": model.pretrained,
        "quick_gelu": model.quick_gelu,
        "image_size": model.image_size,
        "dim": model.dim,
        "tags": list(model.tags),
        **({"experts": model.experts} if model.experts else {}),
    }


def model_page(model: ModelInfo) -> Page:
    """One encoder."""
    rows = [
        ("pretrained", model.pretrained),
        ("activation", "QuickGELU" if model.quick_gelu else "GELU"),
        ("image size", f"{model.image_size} pixels"),
        ("embedding", f"{model.dim} numbers"),
        *([("experts", model.experts)] if model.experts else []),
        ("tags", ", ".join(model.tags) or "none"),
    ]
    return Page([Facts(rows, title=model.architecture)])


def models_json(models: Sequence[tuple[str, Sequence[str]]]) -> dict[str, Any]:
    """The object that `featcache models --json` prints."""
    return {"models": [{"architecture": name, "tags": tags} for name, tags in models]}


def models_page(models: Sequence[tuple[str, Sequence[str]]]) -> Page:
    """All encoders."""
    return Page([Table(("model", "pretrained tags"), [(name, ", ".join(tags)) for name, tags in models])])
