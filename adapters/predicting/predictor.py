"""`Predictor`: a saved head with its encoder, loaded once, for any stream of images."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from adapters.answers.answers import Answers
from adapters.answers.files import read_answers
from adapters.arrays import Floats
from adapters.errors import AdapterError, RunError
from adapters.methods import load
from adapters.metrics import softmax
from adapters.parameters import is_integer
from adapters.predicting.encoder import load_encoder
from adapters.runs.catalogue import find_run, read_run
from adapters.runs.folder import ANSWERS
from adapters.runs.opened import open_run
from adapters.runs.seen_together import mistakes_of
from adapters.scores import tempered_logits
from featcache.cache.projections import before_it
from featcache.encoding.known_files import KnownFiles
from featcache.records import digest

if TYPE_CHECKING:
    from adapters.head import Head
    from adapters.predicting.joined_stream import JoinedStream
    from adapters.together.adjusted import Adjusted
    from adapters.together.asked import Asked
    from featcache.encoding.given import Given
    from featcache.encoding.stream import EncodedImages, ImageStream

TOP_K = 5
ROWS = 32
"""What the rows are a multiple of that a head is given together."""
DTYPE = "float16"
"""What embeddings of a run are rounded to that does not say how its cache kept them: a cache's default."""


@dataclass(frozen=True)
class RankedClass:
    """A class and the head's probability for it, in [0, 1]."""

    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The answer for one image: the most probable classes, or why there is none.

    Attributes:
        id: its path as given; of what is no path its place in the stream, counted from 0.
        predicted: the most probable class; None for an image that cannot be read.
        probability: the head's for that class, in [0, 1]; None likewise.
        top: the most probable classes, best first; empty likewise.
        set: the classes that hold the truth in the share of cases that `adapters fit --coverage` was given; None: it
            was not.
        rejected: whether it is none of the classes, by `adapters fit --reject`; None: it was not given.
        error: why it cannot be read; None for the others.
        cache: the cache that its embedding was taken from; None: it was encoded.
        said: what must stand beside it where it was not answered by itself; empty else.
    """

    id: str
    predicted: str | None = None
    probability: float | None = None
    top: tuple[RankedClass, ...] = ()
    set: tuple[str, ...] | None = None
    rejected: bool | None = None
    error: str | None = None
    cache: str | None = None
    said: str = ""


class Predictor:
    """A saved head and the very encoder that it was fitted on. Made by `Predictor.load`.

    Threads may share it. Images are encoded as those of the head's cache were, in batches of the same size and rounded
    to the same numbers, so that an image's embedding is the cache's, bit for bit, whatever other images are given (on
    the same kind of device, with the same libraries).

    Attributes:
        run: folder of the run.
        name: its name.
        method: name of its method.
        class_names: the C classes.
        model: architecture of the encoder, and the tag of its weights.
        note: what must be said beside the answers; may be empty.

    Example:
        >>> for item in adapters.Predictor.load("runs/a").predict(paths):
        ...     print(item.id, item.predicted, item.probability, item.error)
    """

    def __init__(
        self,
        head: Head,
        answers: Answers,
        stream: ImageStream | JoinedStream,
        class_names: Sequence[str],
        *,
        run: Path,
        model: str,
        note: str = "",
    ) -> None:
        self.run, self.name, self.method = str(run), run.name, head.method
        self.class_names = tuple(class_names)
        self.model, self.note = model, note
        self._head, self._answers, self._stream = head, answers, stream
        self._turn = threading.Lock()

    @classmethod
    def load(
        cls,
        run: str | Path,
        *,
        model: str | None = None,
        pretrained: str | None = None,
        reuse: bool = True,
        root: str | None = None,
        device: str = "auto",
    ) -> Self:
        """Load a saved run and its encoder.

        Args:
            run: folder of the run, or its name (`adapters.runs.catalogue.find_run`).
            model: directory of the encoder, where it is another than when the run was fitted.
            pretrained: file of its weights, likewise.
            reuse: whether to take embeddings from caches under the root that have the same file by the same encoder;
                what comes before the last projection is always encoded.
            root: where runs and caches are looked for.
            device: where the head and the encoder compute.

        Raises:
            RunError: no such run, it is broken, or the encoder is not the one that it was fitted on.
            ModelError: the encoder cannot be loaded.
        """
        saved = find_run(run, root=root)
        head = load(saved.path, device=device)
        config = head.config
        missing = sorted({"encoder", "class_names"} - set(config))
        if missing:
            message = (
                f"run {saved.path} does not say its {missing[0]}: give a run that adapters fit saved, or save it with "
            )
            raise RunError(
                message + "head.save(folder, class_names=list(cache.class_names), encoder=dict(cache.encoder))"
            )
        from adapters.predicting.joined_stream import load_joined
        from featcache.encoding.speed import default_batch_size
        from featcache.encoding.stream import ImageStream

        answers = read_answers(saved.path / ANSWERS, config)
        identity = config["encoder"]
        if "joined" in identity:
            if model or pretrained:
                raise RunError(f"run {saved.name} has several encoders: --model and --pretrained name only one")
            joined, note = load_joined(identity["joined"], saved.name, device=device, reuse=reuse, root=root)
            name = f"{identity['architecture']} ({identity['pretrained']})"
            return cls(head, answers, joined, config["class_names"], run=saved.path, model=name, note=note)
        before = head.sees == "pre-projection"
        encoder, note = load_encoder(
            identity, saved.name, device=device, model=model, pretrained=pretrained, keep=before
        )
        # Heads that were saved before they said how their cache was encoded, or by hand, lack these two.
        fitted_on = config.get("cache", {})
        batch_size = int(fitted_on.get("batch_size") or default_batch_size(encoder.device))
        dtype = str(fitted_on.get("dtype") or DTYPE)
        taken = reuse and not before
        known = KnownFiles.under(root, identity, batch_size=batch_size, dtype=dtype) if taken else None
        return cls(
            head,
            answers,
            ImageStream(encoder, batch_size=batch_size, dtype=dtype, known=known),
            config["class_names"],
            run=saved.path,
            model=f"{encoder.identity['architecture']} ({encoder.identity['pretrained']})",
            note=note,
        )

    @property
    def batch_size(self) -> int:
        """Images that are encoded together: answers for fewer take as long."""
        return self._stream.batch_size

    def ready(self, raw: bytes) -> Given:
        """An image file decoded, as one of the images that `predict` takes: threads may decode ahead of it."""
        return self._stream.ready(raw)

    def together(self, asked: Asked) -> Adjusted:
        """What `predict` takes as `adjusted`, for one call.

        Args:
            asked: frequencies of classes, a mixture, or a stream (`adapters.together`).

        Raises:
            AdapterError: the head, or what was asked for, cannot give it.
            RunError: the run does not say what it learned from.
            CacheError: the run's cache is asked for the head's mistakes (`bbse`), and is gone.
        """
        report = read_run(Path(self.run)).report
        counts = None if report is None or report.class_counts is None else np.asarray(report.class_counts)
        return asked.of(self._head, self.class_names, counts=counts, held_out=lambda: mistakes_of(open_run(self.run)))

    def predict(
        self,
        images: Iterable[Any],
        *,
        top_k: int = TOP_K,
        workers: int | None = None,
        adjusted: Adjusted | None = None,
    ) -> Generator[Prediction]:
        """Classify images, one record for each in their order, as they come.

        Args:
            images: paths, files' bytes, pictures of Pillow, arrays (H, W) or (H, W, 3) uint8, in any iterable, which
                may be endless. What cannot be read is a record with an `error`, and the rest goes on.
            top_k: classes of `top`, >= 1; at most all of them are given.
            workers: decoding processes; 0: this one decodes. None: as many as an extraction takes, but none where the
                images are a batch or less, or the caller is not the main thread.
            adjusted: what more than one image says, of `together`; sets, and whether an image is none of the classes,
                stay the head's own. Where it needs all images, the first answer comes after the last image.

        Raises:
            AdapterError: `top_k` is no whole number, or less than 1.
            DataError: one image was given in place of an iterable of images.
        """
        if not is_integer(top_k) or top_k < 1:
            raise AdapterError(f"--top-k {top_k} given; expected 1 or more: type --top-k 5")
        with closing(self._stream.encode(images, workers=workers)) as batches:
            if adjusted is not None and adjusted.whole:
                yield from self._answered(list(batches), top_k, adjusted)
            else:
                for batch in batches:
                    yield from self._answered([batch], top_k, adjusted)

    def _answered(
        self, batches: Sequence[EncodedImages], top_k: int, adjusted: Adjusted | None
    ) -> Iterator[Prediction]:
        """The answers of batches; those of all of them are adjusted at once."""
        told = [self._told(self._seen(batch.features[_readable(batch)])) for batch in batches if _readable(batch)]
        answers: Iterator[_Told] = (answer for block in told for answer in block)
        if adjusted is not None and told:
            answers = _adjusted(list(answers), adjusted)
        for batch in batches:
            for image_id, error, cache in zip(batch.ids, batch.errors, batch.caches, strict=True):
                if error:
                    yield Prediction(image_id, error=error)
                    continue
                answer = next(answers)
                top = rank(softmax(answer.logits), self.class_names, top_k)
                held = answer.held
                yield Prediction(
                    image_id,
                    predicted=top[0].name,
                    probability=top[0].probability,
                    top=top,
                    set=None if held is None else tuple(self.class_names[c] for c in np.flatnonzero(held).tolist()),
                    rejected=answer.rejected,
                    cache=cache or None,
                    said="" if adjusted is None else adjusted.said,
                )

    def _seen(self, features: Floats) -> Floats:
        """Of what the encoder gives, what the head sees."""
        projections = self._stream.projections
        return before_it(features[:, -len(projections["image"]) :], projections) if projections else features

    def _told(self, embeddings: Floats) -> list[_Told]:
        """What the head says of each of B embeddings, at most a batch."""
        # As for the encoder: the head's matrix products may round differently with another number of rows. Of a number
        # that no vector of a processor divides, they may round the last rows in another way than the first.
        whole = np.resize(embeddings, (ROWS * -(-self.batch_size // ROWS), embeddings.shape[1]))
        with self._turn:
            logits = tempered_logits(self._head, whole)
            sets, rejected = self._answers.sets(softmax(logits)), self._answers.rejected(whole)
        return [
            _Told(
                image,
                logits[row],
                None if sets is None else sets[row],
                None if rejected is None else bool(rejected[row]),
            )
            for row, image in enumerate(embeddings)
        ]


class _Told(NamedTuple):
    """Of an image: its embedding (D,), logits (C,), its set of classes (C,), and whether it is none of them."""

    image: Floats
    logits: Floats
    held: NDArray[np.bool_] | None
    rejected: bool | None


def _readable(batch: EncodedImages) -> list[int]:
    return [row for row, error in enumerate(batch.errors) if not error]


def _adjusted(told: Sequence[_Told], adjusted: Adjusted) -> Iterator[_Told]:
    """What was told, with other logits; those of a stream one after the other, as `said` counts them."""
    images, logits = (np.stack([getattr(each, name) for each in told]) for name in ("image", "logits"))
    if adjusted.in_order:
        for row, each in enumerate(told):
            yield each._replace(logits=adjusted(images[row : row + 1], logits[row : row + 1])[0])
    else:
        for each, other in zip(told, adjusted(images, logits), strict=True):
            yield each._replace(logits=other)


def run_identity(name: str, config: Mapping[str, Any]) -> str:
    """What tells a run from all others, with its name in front: whose answers these are."""
    return f"{name}@{digest(config)[:8]}"


def rank(probabilities: np.ndarray, names: Sequence[str], top_k: int) -> tuple[RankedClass, ...]:
    """The `top_k` most probable of C classes, best first, ties in class order.

    Args:
        probabilities: (C,).
        names: the C class names.
        top_k: how many.
    """
    order = np.argsort(-probabilities, kind="stable")[:top_k]
    return tuple(RankedClass(names[index], float(probabilities[index])) for index in order)


class Tally:
    """What came of many images: counts, whatever their number.

    Attributes:
        images: how many.
        failed: of these, could not be read.
        rejected: of these, none of the classes; None where that is not told.
        classes: how many were taken for each class; those that are none of the classes are not counted.
        caches: how many embeddings were taken from which cache.
    """

    def __init__(self) -> None:
        self.images = self.failed = 0
        self.rejected: int | None = None
        self.classes: Counter[str] = Counter()
        self.caches: Counter[str] = Counter()

    def add(self, item: Prediction) -> None:
        """Count one."""
        self.images += 1
        self.failed += item.error is not None
        if item.rejected is not None:
            self.rejected = (self.rejected or 0) + item.rejected
        if item.predicted is not None and not item.rejected:
            self.classes[item.predicted] += 1
        if item.cache is not None:
            self.caches[item.cache] += 1
