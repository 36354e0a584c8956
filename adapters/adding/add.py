"""A class more for a saved head: `adapters add`, and `adapters.add` in Python."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import featcache
from adapters import methods
from adapters.abilities import TakesClasses
from adapters.adding.prompts import prompts_like
from adapters.arrays import Floats, Ints
from adapters.errors import AdapterError, RunError
from adapters.fitting.examination import examine, refit_told
from adapters.fitting.saving import save_run, target
from adapters.head import Head
from adapters.methods import METHODS
from adapters.predicting.encoder import load_encoder
from adapters.predicting.found import find_images
from adapters.runs.catalogue import SavedRun, find_run
from adapters.runs.folder import INDICES, check_replaceable
from adapters.runs.its_labels import with_labels
from adapters.runs.mirror import push
from adapters.runs.opened import check_cache, shots_of
from adapters.runs.report import Report
from adapters.tasks.split_rows import SplitRows, read_split
from featcache.cache.text_sets import TextFeatures
from featcache.prompts import reads_as
from featcache.records import parse_json
from featcache.utc import now

if TYPE_CHECKING:
    from featcache.cache.reading import Cache


@dataclass(frozen=True, eq=False)
class _Lesson:
    """What a head of more classes learns from and is scored on: a `Lesson`."""

    support: SplitRows
    text: TextFeatures
    val: SplitRows | None
    test: SplitRows
    source: str
    val_kshot: None = None
    unlabelled: None = None


def add(
    run: str | Path,
    classes: Mapping[str, Sequence[str | Path]],
    *,
    out: Path | str | None = None,
    root: str | None = None,
    device: str = "auto",
) -> Report:
    """Save a head that knows more classes, with the settings of a saved one; that stays as it is.

    The head is made anew from the shots of the run, which its cache has, and the new images: what it would be had the
    classes been there from the start. It is scored on the cache's images, which are all of the old classes.

    To a head that classes were added to before, all are added at once: the run that it was, and the images of these
    classes, have to be there still.

    Args:
        run: a saved run, by its folder or name.
        classes: names, each with paths of its images, files or folders; none: the class is known by its name alone.
        out: folder to save to; an earlier run there is replaced. None: beside the runs under the root.
        root: where runs are looked for and saved.
        device: where the encoder and the head compute.

    Raises:
        AdapterError: the method learns by training; a name is there already; images cannot be read.
        RunError: no such run, or its prompts are not templates; of one that `add` made: what it was made from is gone.
        CacheError: the run's cache is gone.
    """
    if out is not None:
        check_replaceable(Path(out).expanduser())
    saved = find_run(run, root=root)
    report = saved.require_report()
    if report.added:
        return add(_before(saved, report, root), _together(saved, report, classes), out=out, root=root, device=device)
    head = methods.load(saved.path, device=device)
    _check(head, classes)
    if report.joined:
        raise AdapterError(f"run {saved.name} was fitted on joined caches, to which no class can be added: fit again")
    cache = with_labels(featcache.open(report.cache), report, None)
    check_cache(head.config, cache, saved.name)
    old = cache.text_set(report.prompts)
    if [list(each) for each in old.prompts] != head.config["prompts"]["prompts"]:
        raise RunError(
            f"the prompts {report.prompts} of cache {cache.name} are others than run {saved.name} was fitted with: "
            "fit again, then add the class"
        )
    names = tuple(classes)
    prompts = [prompts_like(name, old.class_names, old.prompts) for name in names]
    encoder, note = load_encoder(head.config["encoder"], saved.name, device=device)
    text = _with_texts(old, names, prompts, cache, device)
    images, codes, files = _new_images(classes, encoder, cache, first_code=len(old.class_names))
    lesson = _lesson(cache, saved, text, images, codes)
    first = grown = _grown(head, lesson.support, text)
    refit = None
    if report.refit and lesson.val is not None:
        grown = _grown(head, lesson.support.followed_by(lesson.val), text)
        refit = refit_told(lesson, first)
    examined = examine(grown, methods.zero_shot(text), lesson, on_val=first)
    added = {"run": saved.name, "classes": {name: list(files[name]) for name in names}}
    told = ", ".join(f"{name} ({len(files[name])} images)" for name in names)
    notes = [f"{told} added to {saved.name}; scores are on images of the other {len(old.class_names)} classes alone"]
    notes += ["--reject and --coverage are not kept: fit again for them"] if report.answers else []
    new = replace(
        report,
        accuracy={name: None if found is None else found.accuracy for name, found in examined.scores.items()},
        ece=examined.ece,
        parameters=int(grown.parameters_),
        classes=len(text.class_names),
        note="; ".join(filter(None, [*notes, note, report.note])),
        created=now(timespec="milliseconds"),
        scores={name: None if found is None else found.to_json() for name, found in examined.scores.items()},
        difference=examined.difference.to_json(),
        largest_class=examined.largest_class,
        remarks=examined.remarks(text.class_names),
        answers=None,
        class_counts=None,  # heads that take classes are trained on no frequencies
        together=None,
        refit=refit,
        added=added,
    )
    digests = {name: sorted(files[name].values()) for name in names}
    configuration = {"run": saved.name, "cache": cache.digest, "added": digests, "prompts": prompts}
    folder = target(new, configuration, out, root)
    index_content = parse_json((saved.path / INDICES).read_bytes())
    kept = save_run(grown, new, folder, text=text, cache=cache, index_content=index_content)
    if out is None:
        push(root)
    return kept


def _before(saved: SavedRun, report: Report, root: str | None) -> Path:
    """The run that a grown one was, under the root or beside it."""
    assert report.added is not None
    name = str(report.added["run"])
    beside = saved.path.parent / name
    try:
        return beside if beside.is_dir() else find_run(name, root=root).path
    except RunError as error:
        raise RunError(
            f"run {saved.name} was made by adding classes to {name}, which is gone: fit that again, and add all to it"
        ) from error


def _together(saved: SavedRun, report: Report, classes: Mapping[str, Sequence[str | Path]]) -> dict[str, Any]:
    """The classes that were added before, each with its images, and those that are added now."""
    assert report.added is not None
    before: dict[str, list[str]] = report.added["classes"]
    gone = [(name, image) for name, images in before.items() for image in images if not Path(image).is_file()]
    if gone:
        name, image = gone[0]
        raise RunError(
            f"{image} of class {name}, which was added to {saved.name}, is gone ({len(gone)} images are): put it back, "
            f"or add all classes at once to {report.added['run']}"
        )
    known = {reads_as(name): name for name in before}
    _refuse_known(classes, known)
    return {**before, **classes}


def _check(head: Head, classes: Mapping[str, Any]) -> None:
    if not isinstance(head, TakesClasses):
        able = ", ".join(name for name in METHODS if issubclass(METHODS[name], TakesClasses))
        raise AdapterError(
            f"{head.method} learns by training, so that a class more is another fit; these take one as they are: {able}"
        )
    _refuse_known(classes, {reads_as(name): name for name in head.config["class_names"]})


def _refuse_known(classes: Mapping[str, Any], known: dict[str, str]) -> None:
    """Refuse names that are there already: `known` holds these by how they read."""
    for name in classes:
        key = reads_as(name)
        if not key:
            raise AdapterError("a class without a name given: type `adapters add RUN NAME`, or NAME=FOLDER of images")
        if key in known:
            raise AdapterError(f"class {name!r} given, and there is {known[key]!r}: give a name that is new")
        known[key] = name
    if not classes:
        raise AdapterError("no class given: type `adapters add RUN NAME`, or NAME=FOLDER of images")


def _with_texts(
    old: TextFeatures, names: Sequence[str], prompts: Sequence[Sequence[str]], cache: Cache, device: str
) -> TextFeatures:
    """The run's text with that of the new classes behind it, encoded as the cache's was."""
    from featcache.extraction.add_text import encode_prompts, load_text_encoder

    new = encode_prompts(load_text_encoder(cache.manifest, device=device), prompts).features
    features = np.full((len(old.features) + len(new), max(old.features.shape[1], new.shape[1]), new.shape[2]), np.nan)
    features[: len(old.features), : old.features.shape[1]] = old.features
    features[len(old.features) :, : new.shape[1]] = new
    return replace(
        old,
        features=features.astype(np.float32),
        class_names=(*old.class_names, *names),
        prompts=(*old.prompts, *map(tuple, prompts)),
    )


def _new_images(
    classes: Mapping[str, Sequence[str | Path]], encoder: Any, cache: Cache, *, first_code: int
) -> tuple[Floats, Ints, dict[str, dict[str, str]]]:
    """Embeddings (N, D) as the cache keeps them, class codes (N,), and of each class its files with their digests."""
    from featcache.encoding.stream import ImageStream

    how = cache.how_encoded
    stream = ImageStream(encoder, batch_size=int(how["batch_size"]), dtype=str(how["dtype"]))
    rows, codes = [np.empty((0, encoder.dim), np.float32)], [np.empty(0, np.int64)]
    files: dict[str, dict[str, str]] = {}
    for code, (name, paths) in enumerate(classes.items(), start=first_code):
        files[name] = {}
        for batch in stream.encode(find_images([str(path) for path in paths])) if paths else ():
            for image, error, content in zip(batch.ids, batch.errors, batch.contents, strict=True):
                if error:
                    raise AdapterError(f"cannot read {image} of class {name} ({error}): mend it, or leave it out")
                files[name][str(Path(image).absolute())] = hashlib.sha256(content.tobytes()).hexdigest()
            rows.append(batch.features)
            codes.append(np.full(len(batch), code))
    return np.concatenate(rows), np.concatenate(codes), files


def _lesson(cache: Cache, saved: SavedRun, text: TextFeatures, images: Floats, codes: Ints) -> _Lesson:
    """The run's shots with the new images, of which all views are equal."""
    val = read_split(cache, "val") if "val" in cache.splits and cache["val"].labelled.any() else None
    shots = shots_of(saved.path, cache, with_views=True)
    new = SplitRows(images, None, codes, np.full(len(codes), "", shots.ids.dtype), np.full(len(codes), -1))
    return _Lesson(shots.followed_by(new), text, val, read_split(cache, "test"), cache.name)


def _grown(head: Head, support: SplitRows, text: TextFeatures) -> Head:
    """A head of all classes, with the settings of a saved one."""
    assert isinstance(head, TakesClasses)
    grown: Head = head.with_classes(support.inputs, support.labels, text=text)
    return grown


def classes_given(words: Iterable[str]) -> dict[str, list[str]]:
    """What was typed as `NAME` or `NAME=PATH`, the latter once or several times for a class."""
    found: dict[str, list[str]] = {}
    for word in words:
        name, given, path = word.partition("=")
        if given and not path:
            raise AdapterError(f"{word} given without a path: type {name}=FOLDER of its images, or {name} alone")
        found.setdefault(name.strip(), []).extend([path] if given else [])
    return found
