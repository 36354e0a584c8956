"""One run of `adapters fit`: draw the task, choose and fit the head, score it, save it.

The three stages are three calls. Test labels are compared with anything by the last alone (`examination`); choosing and
fitting are given the support and what the selection regime holds out, which contains test rows under `oracle` alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from adapters import methods
from adapters.abilities import BoundToEncoder, LearntOnce
from adapters.answers.answers import Answers, told_of
from adapters.answers.shares import check_shares
from adapters.errors import AdapterError, TaskError
from adapters.fitting.examination import examine, refit_told
from adapters.fitting.joint_weights import with_weights
from adapters.fitting.recipe import Recipe, hyperparameters, jsonable
from adapters.fitting.saving import save_run, target
from adapters.joining.joined_cache import JoinedCache
from adapters.runs.folder import check_replaceable
from adapters.runs.mirror import push
from adapters.runs.report import Report
from adapters.scores import logits_in_blocks, score_logits
from adapters.selection.regimes import REGIMES, Regime, learnt_from, parse_select
from adapters.tasks.all_shots import ALL, Shots
from adapters.tasks.index_files import indices_digest
from adapters.tasks.same_encoder import first_difference
from adapters.tasks.seen import seen_by
from adapters.tasks.split_rows import SplitRows
from adapters.tasks.task import Task
from adapters.together.asked import Asked
from adapters.together.held_out import held_out
from featcache.places.folder import absolute
from featcache.utc import now

if TYPE_CHECKING:
    from adapters.arrays import Ints
    from adapters.head import Head
    from featcache.cache.reading import Cache


@dataclass(frozen=True)
class Fitted:
    """A head that was fitted and scored, and is not saved yet.

    Attributes:
        head: the fitted head.
        task: what it learned from and was scored on.
        report: the numbers; its `run` is empty.
        index_content: the few-shot set, as an index file holds it.
        configuration: what a run is named after: what was asked for, and not what was chosen then.
        answers: what it answers beside one class.
    """

    head: Head
    task: Task
    report: Report
    index_content: Mapping[str, Any]
    configuration: Mapping[str, Any]
    answers: Answers = field(default_factory=Answers)


def fit(
    method: str,
    *,
    cache: Cache,
    shots: Shots,
    seed: int = 1,
    select: str | None = None,
    params: Mapping[str, Any] | None = None,
    indices: Path | str | None = None,
    allow_fewer: bool = False,
    prompts: str | None = None,
    out: Path | str | None = None,
    root: str | None = None,
    device: str = "auto",
    calibrate: bool = False,
    meta_train: Sequence[Cache] = (),
    reject: float | None = None,
    coverage: float | None = None,
    refit: bool = False,
    prior: str | None = None,
    transductive: bool = False,
) -> Report:
    """Fit one head on K shots a class, score it and save it.

    Args:
        method: name of a method (`adapters.methods`).
        cache: an opened cache, or several joined (`adapters.join`).
        shots: images a class, K >= 1; "all": every labelled training image, of classes as large as they are.
        seed: of the draw, and of the training unless `params` has another.
        select: selection regime; what may choose hyper-parameters. None: the method's own default.
        params: constructor arguments of the head; `logit_scale` is the encoder's own unless given.
        indices: a CoOp index file that names the shots.
        allow_fewer: use a class that has fewer than K images as it is.
        prompts: name of the prompt set; None for the cache's default.
        out: folder to save to; an earlier run there is replaced. None: a folder under the root whose name is the same
            for the same configuration.
        root: where runs are saved; None as `featcache.places.home.resolve_root`.
        device: where the head trains and computes: auto (CUDA, then MPS, then CPU), cpu, cuda, mps.
        calibrate: fit a temperature on what the selection regime allows (`adapters.selection.calibration`).
        meta_train: caches of the same encoder to learn an online head's weights on; the head is then adapted to this
            cache's support by a forward pass.
        reject: also learn to answer "none of these", so that at most this share of known images is refused.
        coverage: also learn sets of classes that hold the truth in this share of cases (`adapters.answers`).
        refit: once all is chosen and learned, fit the head once more on the shots and the validation split; that head
            is kept and scored on the test split, the one before it on the validation split.
        prior: also score the head on the test split at class frequencies that are `uniform`, found in its unlabelled
            images by `em` or `bbse`, or named by a CSV file (`adapters.together`); the head that is saved is the same.
        transductive: also score it on all images of the test split together.

    Raises:
        AdapterError: no such method, or arguments that it does not take.
        TaskError: the cache cannot give this task.
        RunError: the run cannot be saved there.
        CacheError: the root is behind a URL and cannot be reached; the run is saved on this machine, and goes
            there at the next fit or listing.
    """
    if out is not None:
        check_replaceable(Path(out).expanduser())  # before the work, not after it
    fitted = fit_and_score(
        method,
        cache=cache,
        shots=shots,
        seed=seed,
        select=select,
        params=params,
        indices=indices,
        allow_fewer=allow_fewer,
        prompts=prompts,
        device=device,
        calibrate=calibrate,
        meta_train=meta_train,
        reject=reject,
        coverage=coverage,
        refit=refit,
        prior=prior,
        transductive=transductive,
    )
    report = save_run(
        fitted.head,
        fitted.report,
        target(fitted.report, fitted.configuration, out, root),
        text=fitted.task.text,
        cache=fitted.task.cache,
        index_content=fitted.index_content,
        answers=fitted.answers,
    )
    if out is None:
        push(root)
    return report


def fit_and_score(
    method: str,
    *,
    cache: Cache,
    shots: Shots,
    seed: int = 1,
    select: str | None = None,
    params: Mapping[str, Any] | None = None,
    indices: Path | str | None = None,
    allow_fewer: bool = False,
    prompts: str | None = None,
    device: str = "auto",
    calibrate: bool = False,
    meta_train: Sequence[Cache] = (),
    reject: float | None = None,
    coverage: float | None = None,
    refit: bool = False,
    prior: str | None = None,
    transductive: bool = False,
) -> Fitted:
    """Fit one head on K shots a class and score it; see `fit`."""
    _check_kinds(cache, allow_fewer=allow_fewer, calibrate=calibrate)
    asked_for = None if select is None else parse_select(select)
    check_shares(reject, coverage)
    together = Asked(prior, transductive)
    clock = _Clock()
    # The most shots of a class are what a recipe depends on; of `all` the task knows them.
    cache = seen_by(methods.METHODS[method], cache)
    task = Task.sample(cache, shots=shots, seed=seed, indices=indices, allow_fewer=allow_fewer, prompts=prompts)
    if methods.METHODS[method].sees == "pre-projection" and reject is not None:
        raise AdapterError(f"--reject compares embeddings, which {method} does not see: leave it out")
    recipe = Recipe(method, task.shots, params or {}, asked_for, calibrate, device)
    together.check(recipe.head_class)
    regime = recipe.regime
    asked_more = {"calibrate": calibrate and regime.on_shots}
    asked_more |= {"reject": reject is not None, "coverage": coverage is not None}
    if meta_train and any(asked_more.values()) and regime.rows is None:
        # Its folds would learn anew on the target's shots, which is not the head that is kept.
        option = "--" + next(name for name, given in asked_more.items() if given)
        others = " or ".join(each.name for each in REGIMES.values() if each.rows and not each.warning)
        raise AdapterError(f"--meta-train with {option} needs --select {others}; or leave {option} out")
    _read(task, regime)
    if refit and task.val is None:
        raise TaskError(f"--refit needs a val split with labels, which cache {cache.name} lacks: leave it out")
    for other in meta_train:
        _check_online(recipe.head_class, cache, other)
    base = [Task.sample(other, shots=shots, seed=seed, allow_fewer=allow_fewer) for other in meta_train]
    for each in base:
        each.support.inputs  # noqa: B018  # read now: fitting must not wait for the disk
    seconds = {"load": clock.lap()}
    asked_of, task = cache, with_weights(task, recipe, seed)
    cache = task.cache
    asked = recipe.build(logit_scale=float(task.text.logit_scale), seed=seed)
    if isinstance(asked, BoundToEncoder):
        asked.check_encoder(cache.encoder, cache.name)
    chosen = recipe.choose(asked, task)
    rows = learnt_from(chosen, task)
    first = head = _fit(chosen, rows, task, base)
    calibration_note = recipe.calibrated(head, task)
    answers = Answers.learn(head, task, regime, reject=reject, coverage=coverage)
    if refit:
        assert task.val is not None
        head = _fit(clone(chosen), rows.followed_by(task.val), task, base)
        head.temperature_ = first.temperature_
    seconds["fit"] = clock.lap()

    examined = examine(head, methods.zero_shot(task.text), task, on_val=first)
    prediction_note = head.prediction_note(task.test.features)
    learned_from = (task.support, task.val) if refit and task.val is not None else (task.support,)
    learned_labels = np.concatenate([rows.labels for rows in learned_from])
    class_counts = np.bincount(learned_labels, minlength=len(task.text.class_names))
    seen_together = _seen_together(head, task, together, class_counts, None if refit else task.val)
    seconds["evaluate"] = clock.lap()

    index_content = task.index_content(with_val=regime.drawn)
    digest = indices_digest(index_content)
    report = Report(
        method=method,
        dataset=str(cache.dataset["name"]),
        model=str(cache.encoder["architecture"]),
        pretrained=str(cache.encoder["pretrained"]),
        shots=ALL if shots == ALL else task.shots,
        seed=seed,
        select=regime.name,
        hyperparameters=hyperparameters(head),
        accuracy={name: None if found is None else found.accuracy for name, found in examined.scores.items()},
        ece=examined.ece,
        seconds=seconds,
        parameters=int(head.parameters_),
        cache=absolute(cache.path),
        cache_name=cache.name,
        cache_digest=cache.digest,
        prompts=task.text.name,
        classes=len(task.text.class_names),
        rows={"support": len(task.support), "val": None if task.val is None else len(task.val), "test": len(task.test)},
        indices={"file": task.index_file.name if task.index_file else None, "digest": digest},
        note=_note(task, regime, chosen, (calibration_note, prediction_note), learnt_on=meta_train),
        created=now(timespec="milliseconds"),
        run="",
        temperature=head.temperature_,
        alpha_interval=head.alpha_choice_.to_json() if hasattr(head, "alpha_choice_") else None,
        scores={name: None if found is None else found.to_json() for name, found in examined.scores.items()},
        difference=examined.difference.to_json(),
        largest_class=examined.largest_class,
        imbalance=examined.imbalance,
        remarks=examined.remarks(task.text.class_names),
        explanation=head.explanation(),
        asked={
            "select": select,
            "options": {name: jsonable(value) for name, value in (params or {}).items()},
            "calibrate": calibrate,
            "allow_fewer": allow_fewer,
            "reject": reject,
            "coverage": coverage,
            "refit": refit,
        },
        labels=cache.mended.to_json() if cache.mended else None,
        answers=told_of(answers, head, task.test),
        refit=refit_told(task, first) if refit else None,
        class_counts=class_counts.tolist(),
        together=seen_together,
        joined=cache.joined if isinstance(cache, JoinedCache) else None,
    )
    configuration = {
        "hyperparameters": hyperparameters(asked),  # as asked for: the name must not depend on what was chosen
        "indices": digest,
        "cache": asked_of.digest,
        "prompts": [task.text.name, task.text.prompts],
        **({"meta_train": [other.digest for other in meta_train]} if meta_train else {}),
        **({"calibrate": True} if calibrate else {}),
        **({"refit": True} if refit else {}),
        **({"labels": cache.mended.digest} if cache.mended else {}),
        **{name: share for name, share in (("reject", reject), ("coverage", coverage)) if share is not None},
    }
    return Fitted(head, task, report, index_content, configuration, answers)


def _seen_together(head: Head, task: Task, asked: Asked, counts: Ints, val: SplitRows | None) -> dict[str, Any] | None:
    """What was asked for of the test images together, with its scores, as `Report.together`."""
    if not asked.any:
        return None
    names = task.text.class_names
    adjusted = asked.of(head, names, counts=counts, held_out=lambda: held_out(head, task, val))
    (logits,) = logits_in_blocks((head,), task.test.blocks())
    scores = score_logits(adjusted(task.test.images, logits), task.test.labels)
    return {**adjusted.to_json(names), "scores": scores.to_json()}


def _check_kinds(cache: Cache, **switches: bool) -> None:
    """Refuse what is of another kind than is taken, where it would be taken for something else or fail late."""
    if not hasattr(cache, "splits"):
        raise AdapterError(f"cache is {cache!r}; expected an opened cache: featcache.open({str(cache)!r})")
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise AdapterError(f"{name}={value!r}; expected True or False")


def _fit(head: Head, support: SplitRows, task: Task, base: Sequence[Task]) -> Head:
    """Fit on the task's shots, or learn on the base tasks and adapt to them."""
    if not base:
        return head.fit(support.inputs, support.labels, text=task.text)
    assert isinstance(head, LearntOnce)
    learnt = head.meta_fit(*((each.support.inputs, each.support.labels, each.text) for each in base))
    adapted: Head = learnt.adapt(support.inputs, support.labels, text=task.text)
    return adapted


def _check_online(head_class: type[Head], cache: Cache, other: Cache) -> None:
    """Refuse `meta_train` for a head without weights to learn elsewhere, or a cache of another encoder."""
    if not issubclass(head_class, LearntOnce):
        raise AdapterError(
            f"{head_class.method} learns nothing from other data sets; leave out --meta-train, or fit meta"
        )
    if first_difference(cache.encoder, other.encoder):
        raise AdapterError(
            f"--meta-train {other.name} has another encoder than {cache.name}; give caches of one encoder"
        )


def _read(task: Task, regime: Regime) -> None:
    """Read what is learned from, so that fitting does not wait for the disk.

    What is only scored is read in blocks, when it is.
    """
    regime.held_out(task)  # fails here, before any work, where there is no val split
    task.val, task.test  # noqa: B018  # and where one of them has nothing to score
    task.support  # noqa: B018


def _note(task: Task, regime: Regime, chosen: Head, others: Sequence[str], *, learnt_on: Sequence[Cache]) -> str:
    notes = [regime.warning] if regime.warning else []
    if learnt_on:
        shots, seed = task.shots, task.seed
        names = ", ".join(f"{other.name} ({other.digest[:12]})" for other in learnt_on)
        notes.append(f"learnt on {shots} shots of {names}, seed {seed}, then adapted by a forward pass")
    if task.cache.encoder["pretrained"] == "random":
        notes.append("the encoder's weights are random: accuracies mean nothing")
    if selection_note := getattr(chosen, "selection_note_", ""):
        notes.append(str(selection_note))  # nothing was chosen
    elif regime.caveat:
        notes.append(regime.caveat)
    return "; ".join(filter(None, (*notes, *others, *task.notes)))


class _Clock:
    """Seconds since the last lap."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        elapsed, self._last = now - self._last, now
        return round(elapsed, 6)
