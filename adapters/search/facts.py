"""What a search was asked for, and what it took for each draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters.joining.joined_cache import JoinedCache
from adapters.joining.places import told
from adapters.search.draws import Draw
from adapters.search.final import Final
from adapters.search.grid import Grid, Setting
from adapters.search.trials import Outcome
from adapters.selection.regimes import REGIMES, Regime
from featcache.places.folder import absolute
from featcache.version import package_version

if TYPE_CHECKING:
    from featcache.cache.reading import Cache


@dataclass(frozen=True)
class Facts:
    """What was asked for, of what: everything that could change a number.

    Attributes:
        method: its name.
        grid: the values of each option.
        shots: numbers of shots K; `seeds` of the draws and trainings.
        select: what chose; `halving` whether trainings were given up early.
        dataset: the cache's data set; `model` and `pretrained` its encoder; `prompts` the name of the prompt set.
        cache: where it is; `cache_name` and `cache_digest` what identifies it.
        version: of featcache.
        labels: of mended labels the file; `labels_digest` of what it says; empty: they are the data set's own.
        joined: what was joined with which weights, in a line; empty: it is one cache.
        every: whether the shots are all labelled training images.
    """

    method: str
    grid: Mapping[str, Sequence[Any]]
    shots: Sequence[int]
    seeds: Sequence[int]
    select: str
    halving: bool
    dataset: str
    model: str
    pretrained: str
    prompts: str
    cache: str
    cache_name: str
    cache_digest: str
    version: str
    labels: str = ""
    labels_digest: str = ""
    joined: str = ""
    every: bool = False

    @property
    def regime(self) -> Regime:
        """What chose."""
        return REGIMES[self.select]

    @classmethod
    def of(
        cls, cache: Cache, draws: Sequence[Draw], grid: Grid, *, regime: Regime, halving: bool, every: bool = False
    ) -> Facts:
        """The facts of a search that is about to begin."""
        return cls(
            method=grid.head_class.method,
            grid={name: list(values) for name, values in grid.options.items()},
            shots=sorted({draw.task.shots for draw in draws}),
            seeds=sorted({draw.task.seed for draw in draws}),
            select=regime.name,
            halving=halving,
            dataset=str(cache.dataset["name"]),
            model=str(cache.encoder["architecture"]),
            pretrained=str(cache.encoder["pretrained"]),
            prompts=draws[0].task.text.name,
            cache=absolute(cache.path),
            cache_name=cache.name,
            cache_digest=cache.digest,
            version=package_version(),
            labels=cache.mended.file if cache.mended else "",
            labels_digest=cache.mended.digest if cache.mended else "",
            joined=told(cache.joined) if isinstance(cache, JoinedCache) else "",
            every=every,
        )


@dataclass(frozen=True, eq=False)
class Chosen:
    """What was taken for one draw.

    Attributes:
        shots: K.
        seed: of the draw and of the training.
        setting: constructor arguments, as `adapters fit` would be given them.
        number: which of the grid's settings; None where nothing could be chosen.
        outcomes: of every setting; empty there.
        rows: how many held-out rows they were compared on.
        final: test accuracies.
    """

    shots: int
    seed: int
    setting: Setting
    number: int | None
    outcomes: Mapping[int, Outcome]
    rows: int
    final: Final

    @property
    def accuracy(self) -> float | None:
        """On the held-out rows, a fraction."""
        return None if self.number is None else self.outcomes[self.number].correct / self.rows

    @property
    def interval(self) -> tuple[float, float] | None:
        """The widest interval of alphas that are as good on these rows, where alpha was chosen exactly."""
        best = None if self.number is None else self.outcomes[self.number].alphas
        return None if best is None else (best.lo, best.hi)
