"""Any stream of images through one encoder: what `adapters.Predictor` and `featcache.ImageEncoder` share."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from featcache.encoding.given import Given, GivenReader, squared, taken
from featcache.encoding.known_files import Known, KnownFiles
from featcache.encoding.pipeline import Batch, Pipeline
from featcache.encoding.speed import default_batch_size, default_workers
from featcache.encoding.waits import Waits
from featcache.images.content import content_digest
from featcache.images.decoding import DecodedRows
from featcache.images.parts import Content, Parts
from featcache.images.ring import Ring
from featcache.images.views import ViewTransform
from featcache.places.cores import cores_here

if TYPE_CHECKING:
    from featcache.encoders.encoder import Encoder


@dataclass(frozen=True)
class EncodedImages:
    """B images of a stream, in its order.

    Attributes:
        ids: Path or place of each.
        features: (B, D) float32, as a cache keeps them; NaN where there are none.
        contents: (B, 16) uint8 digests; zeros where nothing could be read.
        errors: Why an image has no features; empty strings for the others.
        caches: The cache that features were taken from; empty strings where they were encoded.
    """

    ids: Sequence[str]
    features: np.ndarray
    contents: np.ndarray
    errors: Sequence[str]
    caches: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)


class ImageStream:
    """Encodes streams of images, from several threads if need be: the encoder computes one batch after another.

    An image's features are the same alone, among others, and in a cache that was made alike: batches are filled up to
    one size, and features are rounded to what a cache keeps.

    Args:
        encoder: The frozen model.
        batch_size: Images encoded together; None: as an extraction takes by default.
        dtype: What features are rounded to: float16 or float32.
        known: Embeddings that need not be made.
        reader: Reads files, up to a bound.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        batch_size: int | None = None,
        dtype: str = "float16",
        known: Known | None = None,
        reader: GivenReader | None = None,
    ) -> None:
        self.encoder = encoder
        self.batch_size = batch_size or default_batch_size(encoder.device)
        self.dtype = dtype
        self.known: Known = known if known is not None else KnownFiles()
        self._reader = reader or GivenReader()

    @property
    def projections(self) -> dict[str, np.ndarray]:
        """What follows the last columns of features, by name, where the encoder keeps these; else nothing."""
        return self.encoder.projections

    def ready(self, raw: bytes) -> Given:
        """A file decoded, as one of the images that `encode` takes."""
        on_gpu = self.encoder.device.type == "cuda"  # where a GPU decodes fast, whole pictures come nearest to it
        return squared(raw, "", self.encoder.pixels, draft=None if on_gpu else self.encoder.draft)

    def encode(self, images: Iterable[Any], *, workers: int | None = None) -> Generator[EncodedImages]:
        """Features of images, batch by batch, as they come.

        Args:
            images: Paths, files' bytes, pictures of Pillow, arrays (H, W) or (H, W, 3) uint8, in any iterable.
            workers: Decoding processes; 0: this one decodes. None: as many as an extraction takes, but none where the
                images are a batch or less, or the caller is not the main thread.

        Raises:
            DataError: It is one image, and no stream; or the system killed a decoding process.
        """
        given = taken(images, self.encoder.pixels)
        first = list(islice(given, self.batch_size))
        if not first:
            return
        more = list(islice(given, 1))
        if workers is None:
            many = bool(more) and threading.current_thread() is threading.main_thread()
            workers = default_workers(self.encoder.device, cores_here()) if many else 0
        yield from self._encode(first, chain(more, given), workers)

    def _encode(self, first: list[Given], rest: Iterator[Given], workers: int) -> Generator[EncodedImages]:
        drawn: deque[list[Given]] = deque()

        def batches() -> Iterator[Batch]:
            batch = first
            while batch:
                drawn.append(batch)
                yield "", batch
                batch = list(islice(rest, self.batch_size))

        pipeline = _Stream(self.encoder, self.batch_size, workers, self._reader, self.known, first)
        with closing(pipeline.encode(batches())) as encoded:
            for batch, embeddings in encoded:
                given, features = drawn.popleft(), self._rounded(embeddings)
                errors, caches = list(batch.reasons), [""] * len(features)
                known = np.flatnonzero(batch.known >= 0) if batch.known is not None else np.empty(0, np.int64)
                if len(known):
                    features[known], sources = self.known.take(batch.contents[known])
                    for row, source in zip(known.tolist(), sources, strict=True):
                        caches[row] = source
                        if not source:
                            features[row], errors[row] = self._after_all(given[row])
                yield EncodedImages([each.id for each in given], features, batch.contents, errors, caches)

    def _rounded(self, embeddings: np.ndarray) -> np.ndarray:
        """(B, D) float32 of embeddings (B, 1, D), as a cache keeps them."""
        return embeddings[:, 0].astype(self.dtype).astype(np.float32)

    def _after_all(self, given: Given) -> tuple[np.ndarray, str]:
        """Features (D,) of an image whose embedding is not there any more, and why it has none."""
        pipeline = _Stream(self.encoder, self.batch_size, 0, self._reader, KnownFiles(), [given])
        [(batch, embeddings)] = pipeline.encode([("", [given])])
        return self._rounded(embeddings)[0], batch.reasons[0]


@dataclass(frozen=True)
class _Stream(Pipeline):
    """The pipeline of a stream.

    Attributes:
        encoder: The frozen model.
        size: Images encoded together.
        workers: Decoding processes; 0 decodes in this one.
        reader: Reads what was given.
        known: Digests of what need not be decoded.
        first: Some of the images, by which the memory of all is sized.
    """

    encoder: Encoder
    size: int
    workers: int
    reader: GivenReader
    known: Known
    first: Sequence[Given]
    views: dict[str, int] = field(default_factory=dict)
    exact: bool = False
    waits: Waits = field(default_factory=Waits)

    @property
    def batch_size(self) -> int:
        return self.size

    def parts(self, content: Content) -> Parts:
        return Parts.of(self.reader, {"": self.first}, self.views, self.encoder.input_size, self.size, content)

    def rows(self, ring: Ring, *, whole: bool, draft: int | None) -> DecodedRows:
        return _DecodedGiven(
            self.reader,
            {},
            transform=self.encoder.pixels,
            whole=whole,
            draft=draft,
            view_transform=ViewTransform(self.encoder.input_size),
            views=self.views,
            seed=0,
            ring=ring,
            known=_ByContent(self.known),
        )


class _ByContent:
    """Finds what is known by the digest alone."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def find(self, split: str, named: Any, raw: object, content: bytes) -> int:
        return 0 if content in self._known else -1


class _DecodedGiven(DecodedRows):
    """Decodes what was given, in place of rows of a listing."""

    def _named(self, part: Any) -> Iterable[Given]:
        return part.rows  # type: ignore[no-any-return]

    def _digest(self, named: Given, raw: Any) -> bytes:
        return named.content or content_digest(raw)
