"""open_clip's lists, read without importing it, are those that it gives itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import open_clip
import pytest

from featcache.encoders import open_clip_lists
from featcache.encoders.models import describe, list_models
from featcache.errors import ModelError


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where open_clip is not imported yet."""
    for name in ("open_clip", "open_clip.pretrained"):
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.usefixtures("unloaded")
def test_architectures_are_open_clips_in_its_order() -> None:
    assert list(open_clip_lists.architectures()) == open_clip.list_models()
    for name, config in open_clip_lists.architectures().items():
        assert config == open_clip.get_model_config(name)


@pytest.mark.usefixtures("unloaded")
def test_tags_are_open_clips() -> None:
    known = [(name, tag) for name, tags in open_clip_lists.pretrained().items() for tag in tags]
    assert known == open_clip.list_pretrained()
    for name, tag in known:
        assert open_clip_lists.pretrained()[name][tag] == open_clip.get_pretrained_cfg(name, tag)


def test_every_model_is_described_alike_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = list_models()
    with_open_clip = [describe(name, tag) for name, tags in everything for tag in tags if _agrees(name, tag)]
    for name in ("open_clip", "open_clip.pretrained"):
        monkeypatch.delitem(sys.modules, name)
    assert list_models() == everything
    assert [describe(name, tag) for name, tags in everything for tag in tags if _agrees(name, tag)] == with_open_clip
    assert len({info.quick_gelu for info in with_open_clip}) == 2


def _agrees(name: str, tag: str) -> bool:
    """Not the few pairs whose architecture and tag contradict each other on QuickGELU."""
    built_in = open_clip_lists.architectures().get(name, {}).get("quick_gelu", False)
    return not built_in or open_clip_lists.pretrained()[name][tag].get("quick_gelu", False)


def test_what_a_program_added_to_open_clip_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"embed_dim": 24, "vision_cfg": {"image_size": 32}, "text_cfg": {}}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "my-own", config)
    assert describe("my-own", "random").dim == 24


def test_names_are_answered_without_torch_and_leave_imports_as_they_were() -> None:
    code = (
        "import sys; from featcache.encoders.models import describe, list_models\n"
        "assert len(list_models()) > 50; assert describe('ViT-B/16').quick_gelu\n"
        "assert not {'torch', 'torchvision', 'open_clip'} & set(sys.modules), sys.modules.keys()\n"
        "import safetensors.torch, huggingface_hub\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_embedded_model_comes_first() -> None:
    assert list_models()[0] == ("tiny", ("local",))
    assert describe("tiny").tags == ("local",)


@pytest.mark.parametrize("content", ["{", "[" * 5000, "[1]", "3"])
def test_a_damaged_file_of_open_clip_is_a_line(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model_configs").mkdir()
    (tmp_path / "model_configs" / "ViT-B-16.json").write_text(content)
    monkeypatch.setattr(open_clip_lists, "_folder", lambda: tmp_path)
    with pytest.raises(ModelError, match=r"ViT-B-16\.json is damaged: .*install open_clip_torch again"):
        open_clip_lists._read_architectures.__wrapped__()
