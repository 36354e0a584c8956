"""Images through several encoders at once: the features that joined caches hold of them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import tee
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.errors import RunError
from adapters.joining.joined_split import side_by_side
from adapters.predicting.encoder import load_encoder
from featcache.encoding.given import Given, refuse_one_image
from featcache.encoding.known_files import KnownFiles
from featcache.encoding.stream import EncodedImages, ImageStream

if TYPE_CHECKING:
    from featcache.encoders.encoder import Encoder


class JoinedStream:
    """One stream for each encoder, and their features side by side (`adapters.joining.joined_cache`).

    Each encodes in batches of the size of its own cache, so that an image's features are those of the join.

    Args:
        streams: of the encoders.
        weights: of each.
    """

    def __init__(self, streams: Sequence[ImageStream], weights: Sequence[float]) -> None:
        self._streams, self._weights = streams, weights

    @property
    def batch_size(self) -> int:
        """Images that are encoded together: of the encoder that takes most."""
        return max(stream.batch_size for stream in self._streams)

    @property
    def projections(self) -> None:
        """Not kept: heads that see what comes before them take no joined caches."""

    def ready(self, raw: bytes) -> Given:
        """The file as it is: every encoder decodes to a size of its own."""
        return Given("", raw)

    def encode(self, images: Iterable[Any], *, workers: int | None = None) -> Generator[EncodedImages]:
        """As `ImageStream.encode`: features (B, ΣD), batch by batch."""
        refuse_one_image(images)
        copies = tee(images, len(self._streams))
        with ExitStack() as stack:
            batches = [
                stack.enter_context(closing(stream.encode(copy, workers=workers)))
                for stream, copy in zip(self._streams, copies, strict=True)
            ]
            for parts in _in_step(batches):
                errors = [next(filter(None, of_image), "") for of_image in zip(*(p.errors for p in parts), strict=True)]
                features = side_by_side([part.features for part in parts], self._weights)
                features[np.array([bool(error) for error in errors])] = np.nan
                sources = zip(*(part.caches for part in parts), strict=True)
                caches = ["+".join(names) if all(names) else "" for names in sources]
                yield EncodedImages(parts[0].ids, features, parts[0].contents, errors, caches)


def _in_step(streams: Sequence[Iterator[EncodedImages]]) -> Iterator[list[EncodedImages]]:
    """Batches of every stream that are of the same images, though each stream cuts where it will."""
    held = [next(stream, None) for stream in streams]
    while all(batch is not None for batch in held):
        some = [batch for batch in held if batch is not None]
        count = min(map(len, some))
        yield [_rows(batch, slice(count)) for batch in some]
        held = [
            _rows(batch, slice(count, None)) if len(batch) > count else next(stream, None)
            for batch, stream in zip(some, streams, strict=True)
        ]


def _rows(batch: EncodedImages, rows: slice) -> EncodedImages:
    return EncodedImages(
        batch.ids[rows], batch.features[rows], batch.contents[rows], batch.errors[rows], batch.caches[rows]
    )


def load_joined(
    encoders: Sequence[Mapping[str, Any]], run_name: str, *, device: str, reuse: bool, root: str | None
) -> tuple[JoinedStream, str]:
    """The encoders of joined caches, and what differs without mattering.

    Args:
        encoders: what the run says of each (`JoinedCache.encoder`).
        run_name: what the run is called.
        device: where they compute.
        reuse: whether to take embeddings from caches under the root.
        root: where these are.

    Raises:
        RunError: an encoder is not the one that the run was fitted on, or nobody knows which it is.
        ModelError: one cannot be loaded.
    """
    streams, notes = [], []
    for identity in encoders:
        try:
            encoder, note = load_encoder(identity, run_name, device=device)
        except RunError as error:
            raise RunError(f"{error} (of cache {identity['cache']['name']})") from error
        streams.append(_stream(encoder, identity, root, reuse=reuse))
        notes.append(note)
    told = "; ".join(dict.fromkeys(filter(None, notes)))
    return JoinedStream(streams, [float(identity["weight"]) for identity in encoders]), told


def _stream(encoder: Encoder, identity: Mapping[str, Any], root: str | None, *, reuse: bool) -> ImageStream:
    batch_size, dtype = int(identity["cache"]["batch_size"]), str(identity["cache"]["dtype"])
    plain = {key: value for key, value in identity.items() if key not in ("weight", "cache")}
    known = KnownFiles.under(root, plain, batch_size=batch_size, dtype=dtype) if reuse else None
    return ImageStream(encoder, known=known, batch_size=batch_size, dtype=dtype)
