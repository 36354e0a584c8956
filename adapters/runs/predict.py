"""New images through the very encoder that a head was fitted on: `adapters predict`.

The only module of the package that loads an encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adapters.answers.answers import Answers
from adapters.answers.files import read_answers
from adapters.arrays import Floats
from adapters.errors import AdapterError, RunError
from adapters.methods import load
from adapters.metrics import softmax
from adapters.runs.catalogue import find_run
from adapters.runs.folder import ANSWERS
from adapters.scores import tempered_logits
from adapters.tasks.same_encoder import first_difference
from featcache.errors import ImageError
from featcache.places.folder import is_url
from featcache.show.spreadsheet import spreadsheet

if TYPE_CHECKING:
    import torch

    from adapters.head import Head
    from featcache.encoders.encoder import Encoder

TOP_K = 5


@dataclass(frozen=True)
class RankedClass:
    """A class and the head's probability for it, in [0, 1]."""

    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The answer for one file: the most probable classes, best first, or why there is none.

    Attributes:
        file: the path, as given or as found in a given folder.
        classes: best first; empty for an image that cannot be read.
        error: why it cannot be read; None for the others.
        set: the classes that hold the truth in the share of cases that `adapters fit --coverage` was given; None: it
            was not.
        rejected: whether it is none of the classes, by `adapters fit --reject`; None: it was not given.
    """

    file: str
    classes: tuple[RankedClass, ...] = ()
    error: str | None = None
    set: tuple[str, ...] | None = None
    rejected: bool | None = None


@dataclass(frozen=True)
class Predictions:
    """Answers in the order of the files.

    Attributes:
        run: folder of the run.
        method: name of its method.
        model: architecture of the encoder, and the tag of its weights.
        note: what must be said beside the answers; may be empty.
        items: one a file.
    """

    run: str
    method: str
    model: str
    note: str
    items: tuple[Prediction, ...]

    @property
    def failed(self) -> int:
        """How many files could not be read."""
        return sum(item.error is not None for item in self.items)

    def to_json(self) -> dict[str, Any]:
        """The predictions as JSON-able values; each item has the names of `Prediction`."""
        return {**asdict(self), "failed": self.failed}


def predict(
    run: str | Path,
    images: Sequence[str | Path],
    *,
    top_k: int = TOP_K,
    root: str | None = None,
    device: str = "auto",
) -> Predictions:
    """Classify image files with a saved head.

    Images are encoded as those of the head's cache were, in batches of the same size and rounded to the same numbers,
    so that an image's embedding is the cache's, bit for bit, whatever other images are given (on the same kind of
    device, with the same libraries).

    Args:
        run: folder of the run, or its name (`adapters.runs.catalogue.find_run`).
        images: files, and folders whose images are all taken. What cannot be read is told, and the rest goes on.
        top_k: classes an image, >= 1; at most all of them are given.
        root: where runs are looked for.
        device: where the encoder computes.

    Raises:
        RunError: no such run, it is broken, or the encoder is not the one that it was fitted on.
        ModelError: the encoder cannot be loaded.
    """
    if top_k < 1:
        raise AdapterError(f"--top-k {top_k} given; expected 1 or more: type --top-k 5")
    saved = find_run(run, root=root)
    head = load(saved.path, device=device)
    config = head.config
    missing = sorted({"encoder", "class_names"} - set(config))
    if missing:
        message = (
            f"run {saved.path} does not say its {missing[0]}: give a run that adapters fit saved, or save it with "
        )
        raise RunError(message + "head.save(folder, class_names=list(cache.class_names), encoder=dict(cache.encoder))")
    if not any(Path(path).expanduser().exists() for path in images):
        remedy = "download it first" if is_url(str(images[0])) else "give image files, or folders of them"
        raise AdapterError(f"no such file or folder: {images[0]}; {remedy}")
    from featcache.extraction.speed import default_batch_size

    answers = read_answers(saved.path / ANSWERS, config)
    encoder, note = load_encoder(config["encoder"], saved.name, device=device)
    names = tuple(config["class_names"])
    # Heads that were saved before they said how their cache was encoded, or by hand, lack the last two.
    how = {"batch_size": default_batch_size(encoder.device), "dtype": "float16", **config.get("cache", {})}
    batch_size = int(how["batch_size"])
    items: list[Prediction] = []
    files = list(find_images(images))
    for start in range(0, len(files), batch_size):
        batch = [_pixels(found, encoder) for found in files[start : start + batch_size]]
        readable = [pixels for pixels in batch if not isinstance(pixels, str)]
        told = iter(_told(head, answers, _embeddings(encoder, readable, **how), batch_size) if readable else ())
        for found, pixels in zip(files[start : start + batch_size], batch, strict=True):
            if isinstance(pixels, str):
                items.append(Prediction(found.file, error=pixels))
            else:
                p, held, rejected = next(told)
                in_set = None if held is None else tuple(names[c] for c in np.flatnonzero(held).tolist())
                items.append(Prediction(found.file, rank(p, names, top_k), set=in_set, rejected=rejected))
    model = f"{encoder.identity['architecture']} ({encoder.identity['pretrained']})"
    return Predictions(str(saved.path), head.method, model, note, tuple(items))


def load_encoder(identity: Mapping[str, Any], run_name: str, *, device: str) -> tuple[Encoder, str]:
    """Load the encoder of that identity, and say what differs without mattering.

    Raises:
        RunError: the weights or the transform are not those of the identity.
        ModelError: the encoder cannot be loaded.
    """
    from featcache.encoders.of_identity import encoder_of

    encoder = encoder_of(identity, device=device)
    now, then, note = encoder.identity["precision"], identity["precision"], ""
    if now != then:
        note = f"encoded in {now}, the run's cache in {then}: probabilities differ in the last digits"
    check_encoder(identity, encoder.identity, run_name)
    return encoder, note


def check_encoder(expected: Mapping[str, Any], loaded: Mapping[str, Any], run_name: str) -> None:
    """Refuse an encoder whose embeddings are not those that the head has learnt.

    Raises:
        RunError: names what differs.
    """
    if key := first_difference(expected, loaded):
        what = key.removesuffix("_sha256")
        raise RunError(
            f"run {run_name} was fitted on {expected['architecture']} ({expected['pretrained']}) with {what} "
            f"{expected[key][:12]}, but {loaded['architecture']} here has {loaded[key][:12]}: "
            "restore those weights, or extract and fit again"
        )


@dataclass(frozen=True)
class FoundImage:
    """A file to classify, or a path that leads to none."""

    file: str
    error: str | None = None


def find_images(paths: Sequence[str | Path]) -> Iterator[FoundImage]:
    """Files as given, and every image below a given folder in sorted order; hidden ones are left out."""
    from featcache.datasets.readers.image_files import is_image

    for given in paths:
        path = Path(given).expanduser()
        if not path.is_dir():
            yield FoundImage(str(given), None if path.is_file() else "no such file or folder")
            continue
        below = sorted(file for file in path.rglob("*") if is_image(file.name) and not _hidden(file, path))
        if not below:
            yield FoundImage(str(given), "the folder holds no images")
        yield from (FoundImage(str(file)) for file in below)


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _pixels(found: FoundImage, encoder: Encoder) -> torch.Tensor | str:
    """The encoder's input (3, H, W), or why there is none."""
    from featcache.images.decode import decode

    if found.error is not None:
        return found.error
    try:
        draft = None if encoder.device.type == "cuda" else encoder.draft  # a GPU decodes whole pictures
        return encoder.pixels(decode(Path(found.file).expanduser().read_bytes(), draft=draft))
    except ImageError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)


def _embeddings(encoder: Encoder, pixels: Sequence[torch.Tensor], *, batch_size: int, dtype: str, **_: Any) -> Floats:
    """Embeddings (B, D) of at most `batch_size` images, as a cache keeps them."""
    import torch

    return encoder.encode_images(torch.stack(list(pixels)), pad_to=batch_size).astype(dtype).astype(np.float32)


def _told(
    head: Head, answers: Answers, embeddings: Floats, batch_size: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.bool_] | None, bool | None]]:
    """Of each of B embeddings: class probabilities (C,), its set of classes (C,), whether it is none of them."""
    # As for the encoder: the head's matrix products may round differently with another number of rows.
    whole = np.resize(embeddings, (batch_size, embeddings.shape[1]))
    p = softmax(tempered_logits(head, whole))
    sets, rejected = answers.sets(p), answers.rejected(whole)
    for row in range(len(embeddings)):
        yield p[row], None if sets is None else sets[row], None if rejected is None else bool(rejected[row])


def rank(probabilities: np.ndarray, names: Sequence[str], top_k: int) -> tuple[RankedClass, ...]:
    """The `top_k` most probable of C classes, best first, ties in class order.

    Args:
        probabilities: (C,).
        names: the C class names.
        top_k: how many.
    """
    order = np.argsort(-probabilities, kind="stable")[:top_k]
    return tuple(RankedClass(names[index], float(probabilities[index])) for index in order)


def predictions_csv(predictions: Predictions) -> str:
    """One line a file: `file, class_1, probability_1, ..., set, rejected, error`, as a spreadsheet opens it."""
    depth = max((len(item.classes) for item in predictions.items), default=0)
    ranks = [name for place in range(1, depth + 1) for name in (f"class_{place}", f"probability_{place}")]
    rows = []
    for item in predictions.items:
        cells = [cell for ranked in item.classes for cell in (ranked.name, f"{ranked.probability:.6f}")]
        in_set = None if item.set is None else "; ".join(item.set)
        rejected = None if item.rejected is None else str(item.rejected).lower()
        rows.append([item.file, *cells, *[""] * (2 * depth - len(cells)), in_set, rejected, item.error or ""])
    return spreadsheet(["file", *ranks, "set", "rejected", "error"], rows)
