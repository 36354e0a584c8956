"""The Hugging Face hub is not waited for where it cannot be reached."""

from __future__ import annotations

import open_clip
import pytest

from featcache.encoders.encoder import Encoder
from featcache.errors import ModelError
from featcache.places import hub
from tests.featcache.encoders.conftest import MODEL


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
