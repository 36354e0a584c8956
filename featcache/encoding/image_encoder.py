"""`ImageEncoder`: a frozen encoder as a step of a scikit-learn pipeline.

Its features are kept by what the images are, for all encoders of a process that are alike: cross-validation clones it
for each fold, and no image is encoded twice, nor one that a finished cache has.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from featcache.cache.text_sets import TextFeatures
from featcache.encoders.encoder import Encoder
from featcache.encoders.models import canonical, describe
from featcache.encoding.known import KnownEmbeddings
from featcache.encoding.speed import default_batch_size
from featcache.encoding.stream import EncodedImages, ImageStream
from featcache.errors import DataError
from featcache.prompts import PromptSpec

DTYPE = "float16"
"""What features are rounded to, as those of a cache are by default."""
KEPT_BYTES = 2**30
"""Of features of one encoder, at most; what comes when they are full is encoded each time."""
TEMPLATES = ("a photo of {a} {}.",)
IN_MEMORY = "memory"
"""Where features are from that are of no cache."""


class ImageEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A frozen open_clip model that turns images into unit features.

    The model is loaded when it is first needed, once a process for all encoders that are alike, and is no part of a
    pickle. There is nothing to fit.

    Args:
        model: open_clip's name (`ViT-B/32`), `tiny` (embedded), or a local open_clip model directory.
        pretrained: a tag, or a checkpoint file; None: `openai` where the architecture has it.
        precision: auto (fp16 on CUDA, else fp32), fp32, fp16 or bf16.
        device: auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1, mps.
        batch_size: images encoded together; None: as `featcache.extract` takes by default.
        workers: decoding processes; None: as many as an extraction takes, but none for a batch or less.
        root: where the caches are that may have the features already: a folder; None: `$FEATCACHE_HOME` or
            `~/.cache/featcache`.

    Attributes:
        n_features_out: D.

    Example:
        >>> model = make_pipeline(featcache.ImageEncoder("ViT-B/32"), adapters.TipAdapter())
        >>> model.fit(paths, labels).predict(more_paths)
        >>> cross_val_score(model, paths, labels)
        >>> text = model[0].class_text(["cat", "dog"])  # labels are then 0 and 1
        >>> model.fit(paths, labels, tipadapter__text=text)
    """

    def __init__(
        self,
        model: str = "ViT-B/32",
        *,
        pretrained: str | None = None,
        precision: str = "auto",
        device: str = "auto",
        batch_size: int | None = None,
        workers: int | None = None,
        root: str | Path | None = None,
    ) -> None:
        self.model, self.pretrained = model, pretrained
        self.precision, self.device = precision, device
        self.batch_size, self.workers, self.root = batch_size, workers, root

    def fit(self, X: Any, y: Any = None) -> Self:
        """Nothing is learnt; the encoder is loaded, so that what is wrong with it is said now.

        Raises:
            ModelError: it cannot be loaded.
        """
        self._stream()
        return self

    def transform(self, X: Iterable[Any]) -> np.ndarray:
        """Features of images.

        Args:
            X: N paths, files' bytes, pictures of Pillow or arrays (H, W) or (H, W, 3) uint8; also an array of paths, or
                (N, H, W, 3) uint8.

        Returns:
            (N, D) float32 unit rows.

        Raises:
            DataError: an image cannot be read; names the first and says how many.
            ModelError: the encoder cannot be loaded.
        """
        found, bad = [], []
        for batch in self._stream().encode(_of_column(X), workers=self.workers):
            bad += [f"{name}: {error}" for name, error in zip(batch.ids, batch.errors, strict=True) if error]
            found.append(batch.features)
        if bad:
            more = f" and {len(bad) - 1:,} more" if len(bad) > 1 else ""
            raise DataError(f"cannot read {bad[0]}{more}: leave such images out")
        if not found:
            raise DataError("0 images were given, expected at least 1")
        features = np.concatenate(found)
        norms = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
        return np.asarray(features / np.where(norms > 0, norms, 1.0), dtype=np.float32)

    def class_text(self, class_names: Sequence[str], templates: Sequence[str] = TEMPLATES) -> TextFeatures:
        """What heads take as `text`, as a cache has it.

        Args:
            class_names: C names; labels index them.
            templates: T sentences with `{}` for the name, and `{a}` for its article.

        Raises:
            PromptError: a template makes no sense.
        """
        prompts = PromptSpec(templates=tuple(templates)).expand(class_names)
        encoder = self._stream().encoder
        flat = encoder.encode_texts([prompt for of_class in prompts for prompt in of_class])
        features = flat.reshape(len(prompts), len(templates), encoder.dim)
        return TextFeatures("given", features, tuple(class_names), prompts, encoder.logit_scale, encoder.logit_bias)

    @property
    def n_features_out(self) -> int:
        """D, told without loading weights."""
        return describe(self.model, self.pretrained).dim

    _n_features_out = n_features_out  # scikit-learn's name, for get_feature_names_out

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        return tags

    def _stream(self) -> ImageStream:
        model, pretrained = canonical(self.model, self.pretrained)
        root = None if self.root is None else str(self.root)
        with _LOADING:
            return _stream(model, pretrained, self.precision, self.device, self.batch_size, root)


_LOADING = threading.RLock()


@cache
def _stream(
    model: str, pretrained: str, precision: str, device: str, batch_size: int | None, root: str | None
) -> ImageStream:
    """One of a kind in this process."""
    encoder = Encoder.load(model, pretrained, precision=precision, device=device)
    size = batch_size or default_batch_size(encoder.device)
    cached = KnownEmbeddings.under(root, encoder.identity, batch_size=size, dtype=DTYPE)
    return KeepingStream(encoder, cached, batch_size=size)


class KeepingStream(ImageStream):
    """A stream that keeps what it encoded."""

    def __init__(self, encoder: Encoder, cached: KnownEmbeddings, *, batch_size: int) -> None:
        self._kept = KeptEmbeddings(cached, KEPT_BYTES // (4 * encoder.dim))
        super().__init__(encoder, batch_size=batch_size, dtype=DTYPE, known=self._kept)

    def encode(self, images: Iterable[Any], *, workers: int | None = None) -> Generator[EncodedImages]:
        """See `ImageStream.encode`."""
        for batch in super().encode(images, workers=workers):
            for content, features, error, taken in zip(
                batch.contents, batch.features, batch.errors, batch.caches, strict=True
            ):
                if not error and not taken:
                    self._kept.add(content.tobytes(), features)
            yield batch


class KeptEmbeddings:
    """Features in memory by the digests of their images, before those of caches.

    None makes way for another: decoding processes know what was there when they began, and rely on it.

    Args:
        cached: those of caches.
        most: how many are kept.
    """

    def __init__(self, cached: KnownEmbeddings, most: int) -> None:
        self._cached, self._most = cached, most
        self._kept: dict[bytes, np.ndarray] = {}

    def add(self, digest: bytes, features: np.ndarray) -> None:
        """Keep one (D,), while there is room."""
        if len(self._kept) < self._most:
            self._kept[digest] = features.copy()

    def __contains__(self, digest: object) -> bool:
        return digest in self._kept or digest in self._cached

    def take(self, digests: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """See `Known.take`."""
        kept = [self._kept.get(digest.tobytes()) for digest in digests]
        cached = [row for row, features in enumerate(kept) if features is None]
        names = [IN_MEMORY] * len(kept)
        if cached:
            features, of = self._cached.take(digests[cached])
            for row, one, name in zip(cached, features, of, strict=True):
                kept[row], names[row] = one, name
        return np.stack([features for features in kept if features is not None]), names


def _of_column(X: Any) -> Any:
    """The images of what scikit-learn calls X: an array of one column of paths is an array of paths."""
    if hasattr(X, "to_numpy"):
        X = X.to_numpy()
    if isinstance(X, np.ndarray) and X.dtype != np.uint8 and X.ndim == 2 and X.shape[1] == 1:
        X = X[:, 0]
    return X
