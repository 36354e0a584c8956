"""Checkpoint files as training scripts leave them: weights in a wrapper, and every name below one prefix.

    {"model": {"clip_model.visual.conv1.weight": …, "clip_model.logit_scale": …}, "optimizer": …, "epoch": 3}

open_clip itself takes off `{"state_dict": …}` and `module.`; everything else it calls missing and unexpected keys.
"""

from __future__ import annotations

import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from featcache.errors import ModelError

WRAPPERS = ("model", "state_dict", "model_state_dict", "model_state", "net", "ema", "teacher", "module")
"""Names under which training scripts keep the weights, those of larger things first."""
EVERY_CLIP = "logit_scale"
"""A tensor that every CLIP has at its top: what stands before its name stands before all."""
TRANSFORMERS = "vision_model.embeddings.class_embedding"
"""A tensor of a CLIP of Hugging Face's transformers."""


class Plain(NamedTuple):
    """A checkpoint as open_clip reads it."""

    file: Path
    taken_off: str
    """What stood around the weights, in words; empty: nothing."""


class Unwrapped(NamedTuple):
    """The weights in a checkpoint, by the names that they have in the model."""

    state: Mapping[str, Any]
    wrappers: tuple[str, ...]
    prefix: str

    @property
    def told(self) -> str:
        """What was taken off, in words."""
        parts = [f"the wrapper {'/'.join(self.wrappers)}"] if self.wrappers else []
        return " and ".join([*parts, f"the prefix {self.prefix}"] if self.prefix else parts)


@contextmanager
def plain_checkpoint(file: Path) -> Iterator[Plain]:
    """The file itself, or a copy without wrappers and prefix while this lasts.

    Raises:
        ModelError: It holds a CLIP in the layout of transformers.
    """
    found = content_of(file)
    if found is None:
        yield Plain(file, "")
        return
    weights = unwrapped(found)
    if TRANSFORMERS in weights.state:
        raise ModelError(
            f"{file} has the layout of Hugging Face's transformers, expected open_clip's: give the model's open_clip "
            "weights (a tag of `featcache models MODEL`, or --model hf-hub:OWNER/NAME)"
        )
    if not weights.told:
        yield Plain(file, "")
        return
    with tempfile.TemporaryDirectory(prefix="featcache-") as folder:
        plain = Path(folder) / "plain.pt"
        torch.save(weights.state, plain)
        yield Plain(plain, weights.told)


def unwrapped(content: Mapping[str, Any]) -> Unwrapped:
    """What is left of a checkpoint without wrappers and prefix; `content` itself if that is what it is."""
    state, wrappers = content, list[str]()
    while not _weights(state):
        name = next((name for name in WRAPPERS if isinstance(state.get(name), Mapping)), None)
        if name is None:
            return Unwrapped(content, (), "")  # whatever it is, open_clip says what it misses
        wrappers.append(name)
        state = state[name]
    if not all(isinstance(name, str) for name in state):  # no weights of a model
        return Unwrapped(content, (), "")
    top = next((name for name in state if name.rpartition(".")[2] == EVERY_CLIP), EVERY_CLIP)
    prefix = top.removesuffix(EVERY_CLIP)
    if prefix and all(name.startswith(prefix) for name in state):
        bare = {name.removeprefix(prefix): value for name, value in state.items()}
        return Unwrapped(bare, tuple(wrappers), prefix)
    return Unwrapped(state, tuple(wrappers), "")


def _weights(state: Mapping[str, Any]) -> bool:
    return any(isinstance(value, torch.Tensor) and value.ndim > 1 for value in state.values())


def content_of(file: Path) -> Mapping[str, Any] | None:
    """What a file of `torch.save` or safetensors holds; None for what is neither, or is damaged, or is NumPy's."""
    if file.suffix in (".npz", ".npy"):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript archives
        try:
            if file.suffix == ".safetensors":
                from safetensors.torch import load_file

                return load_file(file)
            mapped = zipfile.is_zipfile(file)
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
        except Exception:  # whatever is wrong with it, open_clip meets it next, and its error is told
            return None
    return content if isinstance(content, Mapping) else None
