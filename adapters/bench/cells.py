"""The plan of a bench: one cell a method, cache, number of shots and seed, with a key that says what it computes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters.bench.protocols.learning import Entrant, Part
from adapters.bench.protocols.protocols import PROTOCOLS
from adapters.bench.protocols.settings import Settings
from adapters.errors import AdapterError
from adapters.fitting.code import code_digest
from adapters.fitting.recipe import hyperparameters
from adapters.methods import METHODS
from adapters.show.numbers import shots_of
from adapters.tasks.seen import seen_by, task_seen_by
from adapters.tasks.task import Task

if TYPE_CHECKING:
    from featcache.cache.reading import Cache


@dataclass(frozen=True, eq=False)
class Cell:
    """One fit of a bench (or one a task, where classes arrive in tasks).

    Attributes:
        recipe: the method and how it is fitted.
        cache: where the shots come from.
        targets: caches that are only tested on.
        shots: images a class K.
        seed: of the draw and of the training.
        identity: everything that could change a number, JSON-able.
    """

    recipe: Entrant
    cache: Cache
    targets: tuple[Cache, ...]
    shots: int
    seed: int
    identity: Mapping[str, Any]

    @property
    def key(self) -> str:
        """32 digits of the SHA-256 of the identity: the name of the cell's result."""
        content = json.dumps(self.identity, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    def __str__(self) -> str:
        return f"{self.recipe.method}, {self.cache.name}, {shots_of(self.shots)}, seed {self.seed}"

    def draw(self) -> Task:
        """The cell's task; that of all methods with the same cache, shots and seed.

        Raises:
            TaskError: the cache cannot give it.
        """
        settings = self.recipe.settings
        return Task.sample(
            self.cache, shots=self.shots, seed=self.seed, allow_fewer=settings.allow_fewer, prompts=settings.prompts
        )

    def compute(self, task: Task) -> list[Part]:
        """Fit and score on the cell's own task.

        Raises:
            AdapterError: the method cannot be fitted on this task.
        """
        protocol, head = PROTOCOLS[self.recipe.settings.protocol], self.recipe.head_class
        targets = [seen_by(head, target) for target in self.targets]
        return protocol.examine(self.recipe, task_seen_by(head, task), self.seed, targets)


def plan(
    methods: Sequence[str],
    params: Mapping[str, Mapping[str, Any]],
    caches: Sequence[Cache],
    shots: Sequence[int],
    seeds: Sequence[int],
    settings: Settings,
) -> list[Cell]:
    """All cells, those with one task next to each other.

    Raises:
        AdapterError: no such method, a parameter that it does not take, or caches that do not go together.
    """
    protocol = PROTOCOLS[settings.protocol]
    protocol.check(settings, len(caches))
    names = [cache.name for cache in caches]
    if len(set(names)) < len(names):
        raise AdapterError(f"caches {', '.join(names)} given; expected each once, under a name of its own")
    if unknown := sorted(set(params) - set(methods)):
        raise AdapterError(f"parameters of {unknown[0]!r} given; the bench has {', '.join(methods)}")
    sources, targets = protocol.divide(caches)
    return [
        Cell(recipe, cache, tuple(targets), k, seed, _identity(recipe, cache, targets, k, seed))
        for cache in sources
        for k in shots
        for recipes in [[Entrant.of(method, k, params.get(method, {}), settings) for method in methods]]
        for seed in seeds
        for recipe in recipes
    ]


def _identity(recipe: Entrant, cache: Cache, targets: Sequence[Cache], shots: int, seed: int) -> dict[str, Any]:
    settings = recipe.settings
    mended = [each.mended.digest if each.mended else "" for each in (cache, *targets)]
    text = cache.text if settings.prompts is None else cache.text_set(settings.prompts)
    head = recipe.build(logit_scale=float(text.logit_scale), seed=seed)
    homes = METHODS.homes[recipe.method], PROTOCOLS.homes[settings.protocol]
    return {
        "code": code_digest(*(home.partition(":")[0] for home in homes)),
        "method": recipe.method,
        "hyperparameters": hyperparameters(head),
        "shots": shots,
        "seed": seed,
        "cache": cache.digest,
        **({"labels": mended} if any(mended) else {}),
        "prompts": [text.name, text.prompts],
        "targets": [[target.digest, target.text.name, target.text.prompts] for target in targets],
        **options_of(settings),
        "select": recipe.regime.name,
    }


def options_of(settings: Settings) -> dict[str, Any]:
    """What of the settings can change a number, as JSON-able values."""
    return {**settings.options(), **PROTOCOLS[settings.protocol].identity(settings)}
