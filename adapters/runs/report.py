"""What one run of `adapters fit` found: the numbers, what chose them, and where the head was saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from adapters.selection.regimes import REGIMES, Regime
from featcache.records import checked

UNEVEN = 1.5
"""Rows of the largest class over those of the smallest, from which on accuracy alone misleads."""


@dataclass(frozen=True)
class Report:
    """One fitted head and its scores. Accuracies and ECE are fractions in [0, 1], times in seconds.

    Attributes:
        method: name of the method.
        dataset: name of the data set.
        model: open_clip architecture of the encoder.
        pretrained: tag of its weights.
        shots: images a class; "all": every labelled training image.
        seed: of the draw and of the training.
        select: regime that chose the hyper-parameters (`adapters.selection.regimes`).
        hyperparameters: as used, after selection.
        accuracy: `zero_shot` and `test` on the test split, `val` (None without a val split).
        ece: `zero_shot` and `test`, on the test split.
        seconds: `load`, `fit` (selection included) and `evaluate`.
        parameters: trained numbers.
        cache: where the cache is.
        cache_name: what it is called.
        cache_digest: what it was made from.
        prompts: name of the prompt set.
        classes: number of classes.
        rows: images of `support`, `val` (None without one) and `test`.
        indices: `file` that named the support (None: the seed did) and `digest` of the few-shot set.
        note: what must be said beside the numbers; may be empty.
        created: when, in UTC, as ISO 8601.
        run: folder of the saved head.
        temperature: what probabilities divide logits by; 1 unless calibration was asked for.
        alpha_interval: how alpha was chosen: `alpha`, the interval `lo` to `hi` (None: without end) around it in which
            every alpha is as good, `accuracy` of these on the `rows` that were looked at, and which those were,
            `chosen_on`; None where no rows chose an alpha.
        scores: `zero_shot` and `test` on the test split, `val` (None without a val split): `adapters.scores.Scores`.
        difference: `accuracy` of the head less that of zero-shot on the test split, and its 95 % `interval`.
        largest_class: its share of the test split.
        imbalance: rows of the largest class over those of the smallest that has any, of the test split.
        answers: what `reject` and `coverage` were asked for, `note`, and what came of them on the test split:
            `refused`, `covered` with `covered_interval`, `size` and `empty` of the sets; None: nothing was asked for.
        explanation: of `auto`, `why` and the `candidates` of its mixture; None for others.
        asked: what was asked for beside method, cache, shots and seed: `select`, `options`, `calibrate`, `allow_fewer`.
        refit: of a head that was fitted once more on train and val: `images` of both, `test_before`, the test accuracy
            of the head before, and `told`, which of the scores are whose; None: it was not.
        added: of a head that classes were added to: `run` that it was, `classes` with the images of each (`adapters
            add`); None: none were.
        labels: of mended labels the `file`, the `digest` of what it says, and how many labels of each split it
            `changed` and `left_out`; None: the labels are the data set's own.
        class_counts: images of each class that the head learned from; None: not known.
        together: of the head on the test split seen together (`--prior`, `--transductive`): `how`, what must be `said`
            beside its numbers, `images` seen, `shares` of the classes, and its `scores`; None: that was not asked for.
        joined: of joined caches the `parts`, each with `cache`, `digest`, `model`, `pretrained`, `weight` and whether
            it has `text`; `chosen_by`, how the weights came about, and `auto`, whether rows chose them; None: it is one
            cache.
        remarks: what is true of these numbers and should be known (`adapters.runs.remarks`).
    """

    method: str
    dataset: str
    model: str
    pretrained: str
    shots: int | str
    seed: int
    select: str
    hyperparameters: dict[str, Any]
    accuracy: dict[str, float | None]
    ece: dict[str, float]
    seconds: dict[str, float]
    parameters: int
    cache: str
    cache_name: str
    cache_digest: str
    prompts: str
    classes: int
    rows: dict[str, int | None]
    indices: dict[str, str | None]
    note: str
    created: str
    run: str
    temperature: float = 1.0
    alpha_interval: dict[str, Any] | None = None
    scores: dict[str, dict[str, Any] | None] | None = None
    difference: dict[str, Any] | None = None
    largest_class: float | None = None
    imbalance: float = 1.0
    remarks: list[str] | None = None
    explanation: dict[str, Any] | None = None
    asked: dict[str, Any] | None = None
    labels: dict[str, Any] | None = None
    answers: dict[str, Any] | None = None
    refit: dict[str, Any] | None = None
    added: dict[str, Any] | None = None
    class_counts: list[int] | None = None
    together: dict[str, Any] | None = None
    joined: dict[str, Any] | None = None

    def __repr__(self) -> str:
        test, baseline = (f"{100 * (self.accuracy[name] or 0):.2f} %" for name in ("test", "zero_shot"))
        return f"<{self.method} on {self.dataset}, {self.shots} shots, seed {self.seed}: {test}, zero-shot {baseline}>"

    @property
    def uneven(self) -> bool:
        """Whether classes of the test split differ so much in size that balanced accuracy comes first."""
        return self.imbalance >= UNEVEN

    @property
    def images(self) -> int:
        """Images that the head learned from."""
        of_val = self.refit["images"]["val"] if self.refit else 0
        of_added = sum(map(len, self.added["classes"].values())) if self.added else 0
        return int(self.rows["support"] or 0) + int(of_val) + of_added

    @property
    def regime(self) -> Regime:
        """What chose the hyper-parameters."""
        return REGIMES[self.select]

    @property
    def alpha_text(self) -> str | None:
        """How alpha was chosen, in a line; None where it was not."""
        found = self.alpha_interval
        if found is None:
            return None
        interval = f"[{found['lo']:.4g}, {'∞)' if found['hi'] is None else format(found['hi'], '.4g') + ']'}"
        rows = f"{found['rows']:,} {self.regime.looks_at}"
        return f"{found['alpha']:.4g} in {interval}, {100 * found['accuracy']:.1f} % of the {rows}"

    def to_json(self) -> dict[str, Any]:
        """The report as JSON-able values under the names above."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Report:
        """The inverse of `to_json`; keys of a later version are left out, and earlier ones lack what has a default.

        Raises:
            Malformed: a key is missing, or of another type; the message names it.
        """
        return checked(content, cls)
