"""The frozen encoder: an open_clip model with its transform, its tokenizer and an identity that pins them down.

open_clip does the loading. What is added here is what it leaves to its caller: QuickGELU from the tag's own
configuration, evaluation mode, raw (not L2-normalised) embeddings in float32, the same random weights every time, and
errors of one line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
import torch
from PIL import Image

from featcache.encoders import models
from featcache.encoders.before_projection import take_off, text_projection
from featcache.encoders.device import DTYPES, current, resolve_device, resolve_precision
from featcache.encoders.evaluation import evaluation_of
from featcache.encoders.image_network import ImageNetwork
from featcache.encoders.pixels import BytePixels, normalised
from featcache.encoders.weights import load_model, load_tokenizer, weights_sha256
from featcache.errors import ModelError
from featcache.origin import TEXT

TEXT_BATCH = 256
EXACT, FAST = "exact", "fast"
"""How pictures may be decoded."""
PRECISION_BY = "precision_by"
"""Of an identity in half precision: `weights`, or absent in those of older versions, which cast each operation."""


class PendingEmbeddings:
    """Embeddings that a device may still be computing.

    Args:
        features: (B, D) on their way to this machine's memory, or there.
        arrived: What waits until they are there.
        precision: Of the encoder.
    """

    def __init__(self, features: torch.Tensor, arrived: Callable[[], object], precision: str) -> None:
        self._features, self._arrived, self._precision = features, arrived, precision

    def result(self) -> np.ndarray:
        """(B, D) float32, raw: not normalised.

        Raises:
            ModelError: The precision overflowed: some embedding is not finite.
        """
        self._arrived()
        embeddings: np.ndarray = self._features.numpy()
        if not np.isfinite(embeddings).all():
            remedy = (
                "the weights or the pixels are damaged"
                if self._precision == "fp32"
                else f"use {'bf16 or ' if self._precision == 'fp16' else ''}fp32 (--precision)"
            )
            raise ModelError(f"embeddings in {self._precision} are not finite: {remedy}")
        return embeddings


class Encoder:
    """An open_clip model, frozen: images and texts in, raw embeddings out; or one of timm, for images alone.

    Made by `Encoder.load`.

    Threads may share it: it computes one batch after another.

    Attributes:
        identity: JSON-able; everything about the encoder that could change an embedding.
        device: Where it runs.
        dim: D, length of an embedding.
        width: Numbers that it gives for an image: D; or D + P, where it keeps what comes before the last projection.
        projections: Where it keeps that, the matrices that follow by name: `image` (P, D), `image_bias` (D,), `text`
            (E, D).
        image_size: Side of the square input in pixels.
        logit_scale: Factor on cosine similarities that the model was trained with (already exponentiated).
        logit_bias: Added to scaled similarities by sigmoid-trained models (SigLIP); None for the others.
        transform: PIL image -> (3, H, W) float32: the model's own evaluation transform.
        pixels: PIL image -> (3, H, W) uint8: the same before it scales to [0, 1] and normalises, which `encode_images`
            does to whole batches where it computes. A quarter of the bytes to hand over, and the same bits.
        draft: Pixels that a JPEG's short side keeps, where pictures may be decoded a little differently than
            open_clip's transform sees them; else None.
        input_size: (height, width) of what it makes, in pixels.
        mean: (3,) of its normalisation.
        std: (3,) likewise.
        note: What must be said of how it was loaded; mostly nothing.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        tokenizer: Callable[[list[str]], torch.Tensor] | None,
        info: models.ModelInfo,
        *,
        device: torch.device,
        precision: str,
        decode: str = EXACT,
        note: str = "",
        keep: bool = False,
    ) -> None:
        evaluation = evaluation_of(model)
        how = {} if decode == EXACT else {"decode": decode}
        transform = json.dumps({**evaluation.settings, **how}, sort_keys=True)
        logit_scale, logit_bias = getattr(model, "logit_scale", None), getattr(model, "logit_bias", None)
        self.device, self.note = device, note
        self.dim = info.dim
        self.image_size = info.image_size
        self.logit_scale = 1.0 if logit_scale is None else float(logit_scale.detach().double().exp())
        self.logit_bias = None if logit_bias is None else float(logit_bias.detach())
        self.transform: Callable[[Image.Image], torch.Tensor] = evaluation.transform
        self.pixels = BytePixels.of(self.transform)
        self.input_size = evaluation.size
        self.draft = None if decode == EXACT else evaluation.short
        self.mean, self.std = evaluation.mean, evaluation.std
        self.identity: Mapping[str, Any] = {
            "architecture": info.architecture,
            "pretrained": info.pretrained,
            "weights_sha256": weights_sha256(model),
            "quick_gelu": info.quick_gelu,
            "image_size": info.image_size,
            "dim": info.dim,
            **({"experts": info.experts} if info.experts else {}),
            "transform": transform,
            "transform_sha256": hashlib.sha256(transform.encode()).hexdigest(),
            "precision": precision,
            **({} if precision == "fp32" else {PRECISION_BY: "weights"}),
            **_of_tokenizer(tokenizer),
        }
        self._model = model.to(device).eval().requires_grad_(False)
        self._model.visual.to(DTYPES[precision])
        self.width, self.projections = self.dim, dict[str, np.ndarray]()
        self._projection = take_off(self._visual, info.architecture) if keep else None
        if self._projection is not None:
            self.width += len(self._projection.weight)
            kept = {"image": self._projection.weight, "image_bias": self._projection.bias}
            kept["text"] = text_projection(model)
            self.projections = {name: one.float().cpu().numpy() for name, one in kept.items() if one is not None}
        self._tokenizer = tokenizer
        self._precision = precision
        self._turn = Lock()

    @classmethod
    def load(
        cls,
        model: str,
        pretrained: str | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        decode: str = EXACT,
        quick_gelu: bool | None = None,
        keep: bool = False,
    ) -> Encoder:
        """Load a model, its weights and its tokenizer.

        Args:
            model: An open_clip architecture, `tiny`, a local open_clip directory, `hf-hub:owner/name`, CLIP-MoE's
                checkpoint, or `timm:NAME`.
            pretrained: A tag, a checkpoint file, `random`, or None: `openai` where the architecture has it.
            device: `auto` (cuda, then mps, then cpu) or a torch device.
            precision: Of the image tower, its weights and what they compute: `fp32`, `fp16`, `bf16`; `auto` is fp16
                on CUDA, else fp32. Texts are few and always fp32.
            decode: `exact`, or `fast`: pictures are decoded a little differently, and the identity says so.
            quick_gelu: Whether the weights were trained with QuickGELU; None: as their tag or directory says.
            keep: Whether to give what comes before the image tower's last projection too, behind the embedding.

        Raises:
            ModelError: The model cannot be resolved, downloaded or loaded, or not on that device at that precision.
        """
        target = resolve_device(device)
        resolved = resolve_precision(precision, target)
        info = models.describe(model, pretrained)
        if quick_gelu is not None:
            info = replace(info, quick_gelu=quick_gelu)
        tokenizer = load_tokenizer(info)  # before the weights: it fails sooner
        weights, note = load_model(info)
        return cls(weights, tokenizer, info, device=target, precision=resolved, decode=decode, note=note, keep=keep)

    def image_network(self) -> ImageNetwork:
        """The image tower with its normalisation, from bytes (N, H, W, 3); it shares this encoder's weights."""
        assert self._projection is None
        return ImageNetwork(self._visual, self.mean, self.std)

    @property
    def _visual(self) -> torch.nn.Module:
        tower = self._model.visual
        assert isinstance(tower, torch.nn.Module)
        return tower

    def encode_images(self, pixels: torch.Tensor, *, pad_to: int = 0) -> np.ndarray:
        """Embed a batch.

        Args:
            pixels: (B, 3, H, W) as `pixels` makes them, or `transform`.
            pad_to: Encode at least as many, with zeros behind the last. Matrix products of another shape may round
                differently, and then an embedding would depend on how many images are encoded with it.

        Returns:
            (B, D) float32, raw: not normalised; (B, D + P) where what is before the last projection is kept.

        Raises:
            ModelError: The precision overflowed: some embedding is not finite.
        """
        return self.start_images(pixels, pad_to=pad_to).result()

    @torch.inference_mode()
    def start_images(self, pixels: torch.Tensor, *, pad_to: int = 0) -> PendingEmbeddings:
        """Begin to embed a batch; a GPU goes on with it while its caller does something else. See `encode_images`."""
        if pixels.ndim != 4 or pixels.shape[1] != 3:
            raise ValueError(f"pixels are {tuple(pixels.shape)}: expected (B, 3, H, W)")
        if len(pixels) == 0:
            return PendingEmbeddings(torch.zeros(0, self.width), _nothing, self._precision)
        count = len(pixels)
        if count < pad_to:
            pixels = torch.cat([pixels, pixels.new_zeros(pad_to - count, *pixels.shape[1:])])
        with self._turn, current(self.device):
            return self._started(pixels.to(self.device), count)

    def _started(self, batch: torch.Tensor, count: int) -> PendingEmbeddings:
        """Begin with a batch that is on the device, of which so many rows are wanted."""
        if batch.dtype == torch.uint8:
            batch = normalised(batch, self.mean, self.std)
        with torch.autocast(self.device.type, enabled=False), _reproducible(self._precision):
            features = self._model.eval().encode_image(  # type: ignore[operator]
                batch.to(DTYPES[self._precision]), normalize=False
            )
            if self._projection is not None:
                features = torch.cat([self._projection.apply(features), features], 1)
        features = features[:count].float()
        if self.device.type != "cuda":
            return PendingEmbeddings(features.cpu(), _nothing, self._precision)
        fetched = torch.empty(features.shape, dtype=features.dtype, pin_memory=True)
        fetched.copy_(features, non_blocking=True)
        # Whoever waits sleeps: spinning would take a core from those who decode.
        arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        arrived.record()
        return PendingEmbeddings(fetched, arrived.synchronize, self._precision)

    @torch.inference_mode()
    def encode_texts(self, prompts: Sequence[str]) -> np.ndarray:
        """Embed sentences, in fp32 and in batches; what exceeds the context length is cut, as open_clip does.

        Returns:
            (P, D) float32, raw: not normalised.

        Raises:
            ModelError: It is an encoder of images alone.
        """
        if self._tokenizer is None:
            name = self.identity["architecture"]
            raise ModelError(f"{name} encodes images alone: join its cache with one that has text, --cache A --cache B")
        embeddings = np.zeros((len(prompts), self.dim), np.float32)
        for start in range(0, len(prompts), TEXT_BATCH):
            tokens = self._tokenizer(list(prompts[start : start + TEXT_BATCH])).to(self.device)
            with self._turn, torch.autocast(self.device.type, enabled=False), _reproducible("fp32"):
                features = self._model.eval().encode_text(tokens, normalize=False)  # type: ignore[operator]
            embeddings[start : start + len(tokens)] = features.float().cpu().numpy()
        return embeddings


def _of_tokenizer(tokenizer: object) -> dict[str, Any]:
    """What an identity says of a tokenizer, or that there is none (`featcache.origin.has_text`)."""
    if tokenizer is None:
        return {TEXT: False}
    length: int = tokenizer.context_length  # type: ignore[attr-defined]
    return {"tokenizer": type(tokenizer).__name__, "context_length": int(length)}


def _nothing() -> None:
    """Nothing to wait for."""


def _reproducible(precision: str) -> AbstractContextManager[None]:
    """The same batch gives the same bits on a GPU, and fp32 is fp32: cuDNN's default for convolutions is TF32."""
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=precision != "fp32"
    )
    return flags
