"""`adapters.fit`: what `adapters fit` does, for Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.fitting.fit import fit_and_score
from adapters.head import Head
from adapters.tasks.all_shots import Shots

if TYPE_CHECKING:
    from featcache.cache.reading import Cache


def fit(
    method: str,
    cache: Cache,
    *,
    shots: Shots,
    seed: int = 1,
    select: str | None = None,
    calibrate: bool = False,
    prompts: str | None = None,
    indices: Path | str | None = None,
    allow_fewer: bool = False,
    device: str = "auto",
    meta_train: Sequence[Cache] = (),
    reject: float | None = None,
    coverage: float | None = None,
    refit: bool = False,
    **options: Any,
) -> Head:
    """Draw K shots a class, choose and fit a head as the command line does, and score it; nothing is saved.

    Args:
        method: name of a method (`adapters list`).
        cache: an opened cache, or several joined (`adapters.join`).
        shots: images a class, K >= 1, or "all": every labelled training image.
        seed: of the draw and of the training.
        select: what may choose hyper-parameters: none, support, val-kshot, val, oracle. None: the method's own.
        calibrate: fit a temperature on what that allows.
        prompts: name of the prompt set; None for the cache's default.
        indices: a CoOp index file that names the shots.
        allow_fewer: use a class that has fewer than K images as it is.
        device: auto, cpu, cuda or mps.
        meta_train: of meta, caches to learn on before adapting to this one.
        reject: also learn to answer "none of these"; what comes of it on the test split is in `report_.answers`. Only
            what `adapters fit` saves keeps it.
        coverage: likewise sets of classes (`adapters.answers`).
        refit: fit once more on train and val when all is chosen; see `report_.refit`.
        **options: hyper-parameters of the method, such as `alpha=0.4`; they are not chosen over.

    Returns:
        The fitted head, with the numbers of `adapters fit` in `report_`: `head.report_.accuracy["test"]`.

    Raises:
        AdapterError: no such method, or options that it does not take.
        TaskError: the cache cannot give this task.
    """
    fitted = fit_and_score(
        method,
        cache=cache,
        shots=shots,
        seed=seed,
        select=select,
        params=options,
        indices=indices,
        allow_fewer=allow_fewer,
        prompts=prompts,
        device=device,
        calibrate=calibrate,
        meta_train=meta_train,
        reject=reject,
        coverage=coverage,
        refit=refit,
    )
    fitted.head.report_ = fitted.report
    return fitted.head
