"""Names and tags: which encoder is meant, and what it is, without its weights.

A model is named as people write it: an open_clip architecture (`ViT-B/16`, `ViT-L/14@336px`), `tiny` (embedded), a
local open_clip directory (`open_clip_config.json` beside the weights), `hf-hub:owner/name`, a checkpoint of CLIP-MoE
(the file, or a directory with that file alone), or `timm:NAME`, which has no text. Its weights are a pretrained tag, a
checkpoint file, or `random`; directories, hub models, CLIP-MoE and timm's have their own.

QuickGELU: whether a checkpoint was trained with `x * sigmoid(1.702 x)` in place of GELU belongs to the *tag*, and
open_clip (3.3) keeps it there: `get_pretrained_cfg(architecture, tag)["quick_gelu"]`. Building `ViT-B-16` with the
`openai` tag and no more gives a GELU model that only warns, and wrong embeddings. `describe` resolves it.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featcache.assets import data_dir
from featcache.encoders import open_clip_lists
from featcache.errors import ModelError, in_a_line
from featcache.places.hub import offline_at_once
from featcache.records import parse_json

TINY = "tiny"
LOCAL, HUB, RANDOM = "local", "hub", "random"  # what stands for a tag where there is none
DEFAULT_TAG = "openai"
_LOCAL_DIR, _HF_HUB = "local-dir:", "hf-hub:"  # open_clip's schema prefixes
VISION = "timm:"
"""What the names of encoders of images alone begin with."""
_QUICKGELU = "-quickgelu"
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
_CONFIG = "open_clip_config.json"


@dataclass(frozen=True)
class ModelInfo:
    """What there is to know of an encoder before its weights are there.

    Attributes:
        architecture: open_clip's name, `tiny`, the absolute path of a directory or a file, or `hf-hub:owner/name`.
        pretrained: A tag, a checkpoint file's absolute path, `random`, `local` or `hub`.
        quick_gelu: Whether the model must be built with QuickGELU for these weights.
        image_size: Side of the square input in pixels (the longer one where it is not square).
        dim: D, length of an embedding.
        tags: The pretrained tags that open_clip knows for the architecture.
        experts: How its mixtures of experts route, in words; empty where it has none.
    """

    architecture: str
    pretrained: str
    quick_gelu: bool
    image_size: int
    dim: int
    tags: tuple[str, ...]
    experts: str = ""


def canonical(model: str, pretrained: str | None = None) -> tuple[str, str]:
    """The one spelling of a model and its weights: `("ViT-B/16", None)` is `("ViT-B-16", "openai")`.

    Imports neither torch nor open_clip and checks nothing: names that do not exist pass through, for `describe` to
    refuse. Either result can be given again and stays as it is.
    """
    architecture = _canonical_architecture(model)
    if pretrained == RANDOM:
        return architecture, RANDOM
    if pretrained is not None and _is_path(pretrained):
        return architecture, str(Path(pretrained).expanduser().resolve())
    default = (
        HUB if architecture.startswith((_HF_HUB, VISION)) else LOCAL if is_directory(architecture) else DEFAULT_TAG
    )
    return architecture, default if pretrained is None else pretrained.lower().replace("-", "_")


def describe(model: str, pretrained: str | None = None) -> ModelInfo:
    """Resolve a model's name and weights; downloads no weights (`hf-hub:` names fetch their small configuration).

    Args:
        model: As people write it, see the module's head.
        pretrained: A tag, a checkpoint file, `random`, or None (`openai` where the architecture has it).

    Raises:
        ModelError: No such architecture, tag, file or directory, or a QuickGELU name that does not fit the tag.
    """
    architecture, weights = canonical(model, pretrained)
    tags: tuple[str, ...]
    if architecture.startswith(_HF_HUB):
        config, tags = _hub_config(architecture), (HUB,)
    elif (file := checkpoint(architecture)) is not None:
        config, tags = _checkpoint_config(file), (LOCAL,)
    elif is_vision(architecture):
        from featcache.encoders.vision import vision_config

        config, tags = dict(vision_config(architecture)), (HUB,)
    elif is_directory(architecture):
        config, tags = _directory_config(directory(architecture)), (LOCAL,)
    else:
        config, tags = _built_in_config(architecture, model), _tags(architecture)
    quick_gelu = bool(config.get("quick_gelu", False))
    if weights in tags or (weights == RANDOM and "experts" not in config):
        pass
    elif tags in ((LOCAL,), (HUB,)) and not (is_vision(architecture) and _is_path(weights)):
        raise ModelError(
            f"pretrained '{pretrained}' was given with '{model}', which brings its own weights: leave --pretrained out"
        )
    elif _is_path(weights):
        if not Path(weights).is_file():
            raise ModelError(f"no checkpoint file {weights}: give an existing file or one of the tags {_listed(tags)}")
    else:
        raise ModelError(_no_such_tag(architecture, weights, tags, asked=pretrained is not None))
    if weights in tags and weights not in (LOCAL, HUB):
        quick_gelu = _tag_quick_gelu(architecture, weights, built_in=quick_gelu)
    return ModelInfo(
        architecture=architecture,
        pretrained=weights,
        quick_gelu=quick_gelu,
        image_size=_image_size(config),
        dim=int(config["embed_dim"]),
        tags=tags,
        experts=config.get("experts", ""),
    )


def list_models() -> list[tuple[str, tuple[str, ...]]]:
    """Every architecture with its tags: the embedded one first, then open_clip's in its order."""
    embedded = [(TINY, (LOCAL,))] if directory(TINY).is_dir() else []
    return embedded + [(name, _tags(name)) for name in open_clip_lists.architectures()]


def is_vision(architecture: str) -> bool:
    """Whether a canonical architecture encodes images alone."""
    return architecture.startswith(VISION)


def is_directory(architecture: str) -> bool:
    """Whether a canonical architecture is a local directory, or the file of a checkpoint; `tiny` is one."""
    return architecture == TINY or Path(architecture).is_absolute()


def directory(architecture: str) -> Path:
    """The folder of a canonical architecture for which `is_directory` holds."""
    return data_dir() / TINY if architecture == TINY else Path(architecture)


def checkpoint(architecture: str) -> Path | None:
    """The file of a canonical architecture that is a checkpoint without open_clip's configuration; None for others."""
    place = directory(architecture)
    if not is_directory(architecture) or (place / _CONFIG).exists():
        return None
    files = _weight_files(place)
    return files[0] if len(files) == 1 else None


def open_clip_name(architecture: str) -> str:
    """A canonical architecture as `open_clip.create_model` and `open_clip.get_tokenizer` want it."""
    return f"{_LOCAL_DIR}{directory(architecture)}" if is_directory(architecture) else architecture


def local_weights_sha256(model: str, pretrained: str | None = None) -> str | None:
    """SHA-256 of weights that lie on this disk, read without torch; None for tags, `random` and hub models.

    A tag names its weights for good; a file may have been written anew since a cache was made from it.
    """
    architecture, weights = canonical(model, pretrained)
    if weights == LOCAL:
        found = _weight_files(directory(architecture))
    else:
        found = [Path(weights)] if _is_path(weights) and Path(weights).is_file() else []
    sha = hashlib.sha256()
    for file in found:
        with file.open("rb") as stream:
            sha.update(hashlib.file_digest(stream, "sha256").digest())
    return sha.hexdigest() if found else None


def _weight_files(place: Path) -> list[Path]:
    """A file of weights, or those in a folder."""
    files = [place] if place.is_file() else place.glob("*")
    return sorted(file for file in files if file.suffix in _WEIGHT_SUFFIXES)


def _canonical_architecture(model: str) -> str:
    if model == TINY or model.startswith((_HF_HUB, VISION)):
        return model
    name = re.sub(r"@(\d+)(px)?$", r"-\1", model).replace("/", "-")  # OpenAI writes ViT-L/14@336px
    for known in open_clip_lists.architectures():
        if known.lower() == name.lower():
            return known
    path = Path(model.removeprefix(_LOCAL_DIR)).expanduser()
    if model.startswith((_LOCAL_DIR, "/", "./", "../", "~")) or path.is_dir() or _weight_files(path):
        return str(path.resolve())
    return name


def _is_path(pretrained: str) -> bool:
    """Tags hold neither dots nor separators, checkpoint files do."""
    return "/" in pretrained or "\\" in pretrained or "." in pretrained


def _tags(architecture: str) -> tuple[str, ...]:
    return tuple(open_clip_lists.pretrained().get(architecture, ()))


def _tag_quick_gelu(architecture: str, tag: str, *, built_in: bool) -> bool:
    """The tag's QuickGELU; an architecture that has it built in cannot be built without, so it must agree."""
    config = open_clip_lists.pretrained()[architecture][tag]
    wanted = bool(config.get("quick_gelu", False))
    if built_in and not wanted:
        hub = config.get("hf_hub", "").rstrip("/")
        raise ModelError(
            f"{architecture} is built with QuickGELU but open_clip says that its tag '{tag}' was trained without; "
            f"type --model {_HF_HUB}{hub}, whose own configuration settles it"
        )
    return wanted


def _no_such_tag(architecture: str, tag: str, tags: tuple[str, ...], *, asked: bool) -> str:
    plain = architecture.removesuffix(_QUICKGELU)
    if plain != architecture and asked and tag in _tags(plain):
        return (
            f"{architecture} uses QuickGELU, the tag '{tag}' was trained without it: type --model {plain} "
            f"--pretrained {tag}"
        )
    if not tags:
        return f"{architecture} has no pretrained tags: give a checkpoint file (--pretrained FILE) or random"
    if not asked:
        return f"{architecture} has no '{DEFAULT_TAG}' weights: give --pretrained with one of {_listed(tags)}"
    return f"{architecture} has no tag '{tag}': give --pretrained with one of {_listed(tags)}, or a checkpoint file"


def _listed(tags: tuple[str, ...]) -> str:
    return ", ".join(tags) if tags else "(it has none)"


def _built_in_config(architecture: str, asked: str) -> dict[str, Any]:
    if architecture in open_clip_lists.architectures():
        return open_clip_lists.architectures()[architecture]
    by_fold = {_fold(name): name for name in (*open_clip_lists.architectures(), TINY)}
    near = [by_fold[fold] for fold in difflib.get_close_matches(_fold(asked), list(by_fold), n=3, cutoff=0.6)]
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ModelError(f"no model '{asked}': {hint}`featcache models` lists the names; a local directory works as well")


def _fold(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _checkpoint_config(file: Path) -> dict[str, Any]:
    """The configuration of a CLIP-MoE, of which `experts` is told in words."""
    from featcache.encoders.clip_moe import TOP, config_of

    config = config_of(file)
    return config | {"experts": f"top {TOP} of {config['experts']}"}


def _directory_config(folder: Path) -> dict[str, Any]:
    """`model_cfg` of a local open_clip directory."""
    file = folder / _CONFIG
    try:
        config = parse_json(file.read_bytes())["model_cfg"]
        _image_size(config)
        int(config["embed_dim"])
        config["text_cfg"]
    except FileNotFoundError:
        raise ModelError(
            f"{folder} is no open_clip model directory: it must hold open_clip_config.json and the weights, or one "
            "checkpoint of CLIP-MoE alone"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ModelError(
            f"{file} is no open_clip configuration ({type(error).__name__}: {error}): it needs model_cfg with "
            "embed_dim, vision_cfg and text_cfg"
        ) from error
    result: dict[str, Any] = config
    return result


def _hub_config(architecture: str) -> dict[str, Any]:
    import open_clip

    try:
        with offline_at_once():
            config: dict[str, Any] = open_clip.get_model_config(architecture)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"could not fetch the configuration of {architecture} ({one_line(error)}): download the model elsewhere "
            "and give its directory as --model"
        ) from error
    return config


def _image_size(config: dict[str, Any]) -> int:
    """The vision tower's own size: open_clip overrides the tag's preprocessing size with it."""
    size = config["vision_cfg"].get("image_size", 224)  # open_clip's CLIPVisionCfg default
    return int(size) if isinstance(size, int) else max(int(side) for side in size)


def one_line(error: BaseException, limit: int = 160) -> str:
    """Another library's message, for use inside a message of one line: its last cause, without breaks, cut."""
    text = in_a_line(error).rpartition("Last error: ")[2] or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
