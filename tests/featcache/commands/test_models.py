from __future__ import annotations

import json

from featcache.commands.models import model_page, models_page
from featcache.encoders.models import describe, list_models
from tests.pages import assert_all_is_told
from tests.processes import run


def test_what_is_known_by_name() -> None:
    model = json.loads(run("featcache", "models", "ViT-B/16", "--json").stdout)
    assert list(model) == ["architecture", "pretrained", "quick_gelu", "image_size", "dim", "tags"]
    assert (model["quick_gelu"], model["dim"], model["image_size"]) == (True, 512, 224)


def test_all_is_told_at_any_width() -> None:
    assert_all_is_told(models_page(list_models()))
    assert_all_is_told(model_page(describe("ViT-B/16")))
