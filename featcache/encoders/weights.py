"""Weights: open_clip's loading code, called so that it cannot go wrong in silence; timm's for encoders of images alone.

Left to itself open_clip warns on a QuickGELU mismatch and goes on, gives random weights where a directory holds none,
consumes the global random state, installs a handler on the root logger, and retries for most of a minute where there
is no network.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from featcache.encoders import clip_moe, models
from featcache.encoders.checkpoints import plain_checkpoint
from featcache.encoders.vision import create_vision
from featcache.errors import ModelError
from featcache.places.hub import offline_at_once

RANDOM_SEED = 0
# What open_clip, torch and safetensors raise on a missing, damaged or ill-fitting checkpoint.
_LOAD_ERRORS = (
    OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError, ImportError,
    StopIteration, AssertionError, pickle.UnpicklingError, SafetensorError,
)  # fmt: skip


def load_model(info: models.ModelInfo) -> tuple[torch.nn.Module, str]:
    """Build the model that `info` describes, on the CPU in float32, with its weights.

    Returns:
        The model, and what must be said of how it was loaded; mostly nothing.

    Raises:
        ModelError: The weights cannot be downloaded or do not fit, or open_clip finds a QuickGELU mismatch.
    """
    import open_clip

    if (file := models.checkpoint(info.architecture)) is not None:
        return clip_moe.load(file), ""
    random = info.pretrained == models.RANDOM
    with ExitStack() as stack:
        stack.enter_context(_quiet_root_logger())
        stack.enter_context(offline_at_once())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("error", message=".*QuickGELU mismatch.*", category=UserWarning)
        torch.default_generator.manual_seed(RANDOM_SEED)  # the weights, if random; nothing otherwise
        pretrained = None if info.pretrained in (models.LOCAL, models.HUB, models.RANDOM) else info.pretrained
        note = ""
        if pretrained and Path(pretrained).is_file():
            plain = stack.enter_context(plain_checkpoint(Path(pretrained)))
            note = f"took {plain.taken_off} off {pretrained}" if plain.taken_off else ""
            pretrained = str(plain.file)
        try:
            if models.is_vision(info.architecture):
                return create_vision(info.architecture, file=pretrained, random=random), note
            model: torch.nn.Module = open_clip.create_model(
                models.open_clip_name(info.architecture),
                pretrained,
                load_weights=not random,
                require_pretrained=not random,
                force_quick_gelu=info.quick_gelu,
                pretrained_text=False,  # no weights of a single tower, ever
            )
        except UserWarning as mismatch:
            raise ModelError(f"{info.architecture} with '{info.pretrained}': {models.one_line(mismatch)}") from mismatch
        except _LOAD_ERRORS as error:
            raise ModelError(_failure(info, error)) from error
    return model, note


def load_tokenizer(info: models.ModelInfo) -> Callable[[list[str]], torch.Tensor] | None:
    """The model's own tokenizer: sentences to (P, context length) int64; None of an encoder of images alone.

    Raises:
        ModelError: It must be downloaded and cannot be, or needs a package that is not installed.
    """
    if models.is_vision(info.architecture):
        return None
    import open_clip

    tokenizer: Callable[[list[str]], torch.Tensor]
    if (file := models.checkpoint(info.architecture)) is not None:
        tokenizer = open_clip.SimpleTokenizer(context_length=clip_moe.config_of(file)["text_cfg"]["context_length"])
        return tokenizer
    with _quiet_root_logger(), offline_at_once():
        try:
            tokenizer = open_clip.get_tokenizer(models.open_clip_name(info.architecture))
        except ModuleNotFoundError as error:
            raise ModelError(
                f"the tokenizer of {info.architecture} needs a package: pip install {error.name}"
            ) from error
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"could not load the tokenizer of {info.architecture} ({models.one_line(error)}): download the model "
                "elsewhere and give its directory as --model"
            ) from error
    return tokenizer


def weights_sha256(model: torch.nn.Module) -> str:
    """Digest of the weights as loaded: names, dtypes, shapes and bytes of the state dict, sorted by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f"{name}\0{str(tensor.dtype).removeprefix('torch.')}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _failure(info: models.ModelInfo, error: BaseException) -> str:
    reason = models.one_line(error)
    if isinstance(error, ModuleNotFoundError):
        return f"{info.architecture} needs a package that is not installed: pip install {error.name}"
    if models.is_directory(info.architecture):
        return (
            f"cannot load {models.directory(info.architecture)} ({reason}): it must hold open_clip_config.json and "
            "weights that fit it, such as open_clip_model.safetensors"
        )
    if Path(info.pretrained).is_file():
        return f"{info.pretrained} does not fit {info.architecture} ({reason}): give the architecture it was saved from"
    return (
        f"could not download the weights '{info.pretrained}' of {info.architecture} ({reason}): give a "
        "checkpoint file (--pretrained FILE) or a local open_clip directory (--model DIR)"
    )


@contextmanager
def _quiet_root_logger() -> Iterator[None]:
    """open_clip logs with `logging.info(...)`, which gives a root logger without handlers one that prints."""
    handler = logging.NullHandler()
    logging.root.addHandler(handler)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)
