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
from typing import Any

import torch

from featcache.errors import ModelError

WRAPPERS = ("model", "state_dict", "model_state_dict", "model_state", "net", "ema", "teacher", "module")
"""Names under which training scripts keep the weights, those of larger things first."""
EVERY_CLIP = "logit_scale"
"""A tensor that every CLIP has at its top: what stands before its name stands before all."""
TRANSFORMERS = "vision_model.embeddings.class_embedding"
"""A tensor of a CLIP of Hugging Face's transformers."""


@contextmanager
def plain_checkpoint(file: Path) -> Iterator[Path]:
    """The checkpoint as open_clip reads it: the file itself, or a copy without wrappers and prefix while this lasts.

    Raises:
        ModelError: It holds a CLIP in the layout of transformers.
    """
    found = _read(file)
    state = None if found is None else unwrapped(found)
    if state is None:
        yield file
        return
    if TRANSFORMERS in state:
        raise ModelError(
            f"{file} has the layout of Hugging Face's transformers, expected open_clip's: give the model's open_clip "
            "weights (a tag of `featcache models MODEL`, or --model hf-hub:OWNER/NAME)"
        )
    if state is found:
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="featcache-") as folder:
        plain = Path(folder) / "plain.pt"
        torch.save(state, plain)
        yield plain


def unwrapped(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The weights in a checkpoint, by the names that they have in the model; `content` itself if that is what it is."""
    state = content
    while not _weights(state):
        inner = next((state[name] for name in WRAPPERS if isinstance(state.get(name), Mapping)), None)
        if inner is None:
            return content  # whatever it is, open_clip says what it misses
        state = inner
    if not all(isinstance(name, str) for name in state):  # no weights of a model
        return content
    top = next((name for name in state if name.rpartition(".")[2] == EVERY_CLIP), EVERY_CLIP)
    prefix = top.removesuffix(EVERY_CLIP)
    if prefix and all(name.startswith(prefix) for name in state):
        return {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _weights(state: Mapping[str, Any]) -> bool:
    return any(isinstance(value, torch.Tensor) and value.ndim > 1 for value in state.values())


def _read(file: Path) -> Mapping[str, Any] | None:
    """What a file of `torch.save` or safetensors holds; None for all that open_clip reads in ways of its own."""
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
