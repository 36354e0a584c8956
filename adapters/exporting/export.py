"""A saved run as an ONNX file that answers as it does: checked against it before it is put in place."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adapters.abilities import Traced
from adapters.arrays import Floats, unit
from adapters.errors import AdapterError, RunError
from adapters.exporting.onnx_file import BATCH, run_onnx, to_onnx
from adapters.exporting.places import OF_CONFIG, without_places
from adapters.methods import load
from adapters.predicting.predictor import DTYPE
from adapters.runs.catalogue import SavedRun, find_run
from featcache.places.whole import check_writable, make_folder, write_whole
from featcache.version import package_version

if TYPE_CHECKING:
    from adapters.head import Head
    from featcache.encoders.encoder import Encoder

CHECKED_ROWS = 5_000
"""Features that the head and its file both answer."""
CHECKED_IMAGES = 16
"""Pictures, likewise: each costs a pass through the encoder in both."""
TOLERANCE, OF_SIZE = 1e-4, 1e-5
"""By how much a logit may differ: so much, and so much of the row's largest, of which float32 keeps seven digits."""
ROUNDED = 1e-2
"""The same where the encoder is inside: an embedding may round to the next float16 that a cache keeps."""


@dataclass(frozen=True)
class Exported:
    """A file, and how it compares with the head.

    Attributes:
        run: name of the run.
        method: its method.
        file: where it is.
        bytes: its size.
        takes: name, shape and type of its input.
        gives: name and shape of its outputs.
        classes: how many.
        checked: rows that both answered.
        largest_difference: of their logits; None where the head's own are estimates.
        same_predictions: how many of the rows have the same class, ties apart.
        note: what must be said beside it; may be empty.
    """

    run: str
    method: str
    file: str
    bytes: int
    takes: str
    gives: str
    classes: int
    checked: int
    largest_difference: float | None
    same_predictions: int
    note: str

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return asdict(self)


def export(
    run: str | Path, *, out: str | Path | None = None, with_encoder: bool = False, root: str | None = None
) -> Exported:
    """Write a saved head as an ONNX file.

    Without its encoder the file takes `features` (N, D) in float32, raw or unit: embeddings of that encoder. With it,
    it takes `pixels` (N, H, W, 3), bytes in RGB, already resized and cropped as the encoder's transform does it; how,
    its metadata say under `resizing`. Either gives `logits` and `probabilities`, both (N, C), for any N.

    Args:
        run: folder of the run, its name, or `hf://owner/name`.
        out: the file; None: the run's name in the current folder.
        with_encoder: whether the encoder is inside, at fp32.
        root: where runs are looked for.

    Raises:
        AdapterError: the method or its settings cannot be told in ONNX, the `onnx` extra is not installed, or the file
            answers something else than the head, which is then not written.
        RunError: no such run, it is broken, or the encoder here is another.
        ModelError: the encoder cannot be loaded.
        OSError: the file cannot be written.
    """
    saved = find_run(run, root=root)
    file = Path(f"{saved.name}.onnx" if out is None else out).expanduser()
    check_writable(file)
    head = load(saved.path, device="cpu")
    if not isinstance(head, Traced):
        raise AdapterError(
            f"{head.method} cannot be exported: its class does not say its logits in torch operations "
            "(`traced_logits`, adapters/abilities.py); fit another method"
        )
    encoder = _encoder(head, saved) if with_encoder else None
    content = _content(head, encoder, saved)
    rows = _features(head) if encoder is None else _pixels(encoder)
    expected = _answers(head, encoder, rows)
    estimates = head.prediction_note(rows) if encoder is None else ""
    logits, _ = run_onnx(content, rows)
    largest = float(np.abs(logits - expected).max())
    allowed = (TOLERANCE if encoder is None else ROUNDED) + OF_SIZE * np.abs(expected).max(1, keepdims=True)
    same = _same(logits, expected, allowed)
    if same < len(rows) or not (estimates or (np.abs(logits - expected) <= allowed).all()):
        raise AdapterError(
            f"the ONNX file of {saved.name} does not answer as its head: logits differ by {largest:.2g}, "
            f"{len(rows) - same} of {len(rows)} predictions too; nothing was written: please report this"
        )
    make_folder(file.absolute().parent)
    write_whole(file, content)
    width = head.n_features_in_
    size = "" if encoder is None else "{}, {}".format(*encoder.input_size)
    classes = len(head.classes_)
    return Exported(
        run=saved.name,
        method=head.method,
        file=str(file),
        bytes=len(content),
        takes=f"features ({BATCH}, {width}) float32" if encoder is None else f"pixels ({BATCH}, {size}, 3) uint8, RGB",
        gives=f"logits and probabilities ({BATCH}, {classes}) float32",
        classes=classes,
        checked=len(rows),
        largest_difference=None if estimates else largest,
        same_predictions=same,
        note="; ".join(_notes(head, encoder)),
    )


def _encoder(head: Head, saved: SavedRun) -> Encoder:
    """The run's encoder, in full precision on the CPU."""
    from adapters.predicting.encoder import check_encoder
    from featcache.encoders.of_identity import encoder_of

    if head.sees == "pre-projection":
        raise AdapterError(
            f"{head.method} sees what comes before the encoder's last projection: export {saved.name} without "
            "--with-encoder"
        )
    if "encoder" not in head.config:
        raise RunError(f"run {saved.name} does not say its encoder: export it without --with-encoder")
    identity = head.config["encoder"]
    if "joined" in identity:
        raise AdapterError(f"run {saved.name} has {len(identity['joined'])} encoders: export it without --with-encoder")
    encoder = encoder_of(identity, device="cpu", precision="fp32")
    check_encoder(identity, encoder.identity, saved.name)
    return encoder


def _content(head: Head, encoder: Encoder | None, saved: SavedRun) -> bytes:
    import torch

    from adapters.exporting.network import HeadNetwork

    assert isinstance(head, Traced)
    stored = torch.float16 if _stored(head) == "float16" else torch.float32
    images = None if encoder is None else encoder.image_network()
    network = HeadNetwork(head, temperature=head.temperature_, images=images, stored=stored)
    if encoder is None:
        example = torch.zeros(2, head.n_features_in_)
    else:
        example = torch.zeros(2, *encoder.input_size, 3, dtype=torch.uint8)
    return to_onnx(
        network, example, takes="features" if encoder is None else "pixels", told=_metadata(head, encoder, saved)
    )


def _stored(head: Head) -> str:
    """How the cache keeps embeddings."""
    return str(head.config.get("cache", {}).get("dtype") or DTYPE)


def _metadata(head: Head, encoder: Encoder | None, saved: SavedRun) -> dict[str, str]:
    """What the file says of itself; other than words are JSON."""
    config, _ = without_places(head.config, OF_CONFIG)
    report = saved.report
    told: dict[str, Any] = {
        "class_names": config.get("class_names", [str(label) for label in head.classes_.tolist()]),
        "run": saved.name,
        "method": head.method,
        "params": config["params"],
        "weights_sha256": config["weights_sha256"],
        "temperature": head.temperature_,
        "dataset": config.get("dataset"),
        "cache": config.get("cache"),
        "encoder": config.get("encoder"),
        "scores": None if report is None else report.accuracy,
        "select": None if report is None else report.select,
        "shots": None if report is None else report.shots,
        "seed": None if report is None else report.seed,
        "note": "; ".join(_notes(head, encoder)),
        "featcache": package_version(),
    }
    if encoder is not None:
        resizing = encoder.pixels.resizing
        told["resizing"] = None if resizing is None else asdict(resizing)
    words = {key: value for key, value in told.items() if value is not None}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in words.items()}


def _notes(head: Head, encoder: Encoder | None) -> list[str]:
    notes = []
    if head.config.get("answers"):
        notes.append(
            "none of these (--reject) and sets of classes (--coverage) are not in the file: adapters predict gives them"
        )
    if "joined" in head.config.get("encoder", {}):
        weights = ", ".join(f"{weight:g}" for weight in head.config["encoder"]["weights"])
        notes.append(f"features are the encoders' unit rows side by side, each times the root of its weight: {weights}")
    if encoder is not None and (precision := head.config["encoder"]["precision"]) != "fp32":
        notes.append(f"the encoder is in fp32, the run's cache in {precision}: probabilities differ in the last digits")
    if encoder is not None and encoder.draft is not None:
        notes.append("the run's cache was decoded fast: pictures that Pillow decodes whole differ from its a little")
    return notes


def _features(head: Head) -> Floats:
    """Drawn rows, each somewhere between a class's text and anywhere."""
    draw, width = np.random.default_rng(0), head.n_features_in_
    text = head.text_[draw.integers(len(head.text_), size=CHECKED_ROWS)]
    anywhere = unit(draw.normal(size=(CHECKED_ROWS, width)).astype(np.float32))
    return (draw.uniform(0.2, 0.8, size=(CHECKED_ROWS, 1)) * (text - anywhere) + anywhere).astype(np.float32)


def _pixels(encoder: Encoder) -> NDArray[np.uint8]:
    """Drawn pictures: noise, ever coarser, so that they differ in more than detail."""
    draw, (height, width) = np.random.default_rng(0), encoder.input_size
    pictures = []
    for number in range(CHECKED_IMAGES):
        grain = 2 ** (number % 5)
        coarse = draw.integers(256, size=(-(-height // grain), -(-width // grain), 3), dtype=np.uint8)
        pictures.append(coarse.repeat(grain, 0).repeat(grain, 1)[:height, :width])
    return np.stack(pictures)


def _answers(head: Head, encoder: Encoder | None, rows: NDArray[Any]) -> Floats:
    """The head's own logits (N, C)."""
    if encoder is None:
        return head.decision_function(rows)
    import torch

    pixels = torch.from_numpy(rows).permute(0, 3, 1, 2).contiguous()
    return head.decision_function(encoder.encode_images(pixels).astype(_stored(head)).astype(np.float32))


def _same(logits: Floats, expected: Floats, allowed: Floats) -> int:
    """Rows (N,) of logits (N, C) whose class is the same, or as good within what each logit may differ by (N, 1)."""
    own = np.take_along_axis(logits, expected.argmax(1)[:, None], 1)
    return int((logits.max(1, keepdims=True) - own <= 2 * allowed).sum())
