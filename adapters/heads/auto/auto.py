"""The best head without knowing which: a mixture of heads, weighted by what each says of shots held out of it.

    p(c | x) = softmax(log(sum_j w_j softmax(z_j(x) / T_j)) / T)_c

with the logits z_j (C,) of candidate j. Each candidate is fitted on the support, and for every fold of the shots once
more without it. T_j makes the held-out shots most likely under candidate j, the weights w (J,) do so under the mixture,
shrunk towards a prior (`mixing`), and T under the whole. With one shot a class nothing can be held out: T_j = 1, but
for zero-shot, which has learnt from no shot, and w is the prior.

Source: stacking of predictors (Wolpert, Stacked generalization, 1992; Breiman, Stacked regressions, 1996) with a linear
pool of calibrated probabilities. The heads are those of the papers that they name; the mixture is none of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from adapters.abilities import ClassesFromText, Traced
from adapters.arrays import Doubles, Floats, Ints
from adapters.head import Head
from adapters.heads.auto.candidates import BASELINE, CANDIDATES, WITHOUT_TEXT, Candidate, affordable
from adapters.heads.auto.mixing import agreement, em_weights, prior_weights
from adapters.heads.zero_shot import ZeroShot
from adapters.metrics import log_softmax
from adapters.parameters import NotNegative
from adapters.selection.calibration import fit_temperature
from adapters.support import Support, shot_folds
from adapters.training.stacking import fit_supports

if TYPE_CHECKING:
    from torch import Tensor

DROPPED = 1e-3
"""Candidates with less weight are left out: they would cost as much to keep and to ask as any other."""


class Part(NamedTuple):
    """A candidate in the mixture: what it is called, its head, weight and temperature, and its held-out scores.

    `accuracy` is a fraction and `nll` in nats, of calibrated probabilities; None where nothing could be held out.
    """

    name: str
    head: Head
    weight: float
    temperature: float
    accuracy: float | None
    nll: float | None

    def to_json(self) -> dict[str, Any]:
        """What a table shows of it."""
        return {name: value for name, value in self._asdict().items() if name != "head"}


class Auto(Head):
    """A calibrated mixture of heads.

    Args:
        shrinkage: how strongly the weights are pulled towards the prior: by shrinkage / K, at most wholly.
        logit_scale: the encoder's scale.
        seed: of the trainings.
        device: auto, cpu, cuda or mps.

    Attributes:
        parts_: the candidates that were kept, heaviest first.
        pool_temperature_: T.
        why_: in a line, what the weights follow from.
    """

    method: ClassVar[str] = "auto"
    source: ClassVar[str] = "stacking, Wolpert 1992, Breiman 1996, of the heads listed here"
    trains: ClassVar[str] = "a calibrated mixture of other heads, weighted on shots held out"
    needs: ClassVar[str] = "text; views used if there"
    try_when: ClassVar[str] = "always first: it needs no choice"

    parts_: list[Part]
    pool_temperature_: float
    why_: str

    def __init__(
        self, *, shrinkage: NotNegative = 1.0, logit_scale: float = 100.0, seed: int = 1, device: str = "auto"
    ) -> None:
        self.shrinkage = shrinkage
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    def _fit(self, support: Support) -> None:
        candidates, most_folds = affordable(support)
        folds = shot_folds(support.labels, most_folds) if support.shots > 1 else []
        heads, held_out = self._heads(candidates, support, folds)
        p, q = agreement(support.means, support.labels, support.text)
        without_text = candidates.index(WITHOUT_TEXT) if WITHOUT_TEXT in candidates else None
        prior = prior_weights(len(candidates), without_text, p=p, q=q, chance=1 / len(support.classes))
        told = f"zero-shot is right on {100 * q:.0f} % of the shots, their prototypes on {100 * p:.0f} % of the texts"
        self.pool_temperature_ = 1.0
        if not folds:
            own = candidates.index(BASELINE)
            temperatures = [1.0] * len(candidates)
            temperatures[own] = fit_temperature(heads[own]._logits(support.means), support.labels)
            kept, weights = _kept(prior)
            scores: list[tuple[float | None, float | None]] = [(None, None)] * len(candidates)
            self.why_ = f"{told}; with one shot a class nothing was held out"
        else:
            labels = support.labels[np.concatenate([out for _, out in folds])]
            temperatures = [fit_temperature(logits, labels) for logits in held_out]
            logs = [log_softmax(logits / t) for logits, t in zip(held_out, temperatures, strict=True)]
            of_label = np.stack([each[np.arange(len(labels)), labels] for each in logs])
            pull = min(1.0, self.shrinkage / support.shots)
            kept, weights = _kept((1 - pull) * em_weights(np.exp(of_label)) + pull * prior)
            accuracies = (float((each.argmax(1) == labels).mean()) for each in logs)
            scores = list(zip(accuracies, (-of_label.mean(1)).tolist(), strict=True))
            self.pool_temperature_ = fit_temperature(_pool([logs[j] for j in kept], weights), labels)
            self.why_ = f"{told}; weights maximise the likelihood of {len(labels)} shots held out, {pull:.0%} prior"
        self.parts_ = [
            Part(candidates[j].name, heads[j], weight, temperatures[j], *scores[j])
            for j, weight in zip(kept, weights, strict=True)
        ]

    def _heads(
        self, candidates: Sequence[Candidate], support: Support, folds: Sequence[tuple[Ints, Ints]]
    ) -> tuple[list[Head], list[Floats]]:
        """Every candidate fitted on the support, and its logits of the shots held out, fold by fold (none: empty)."""
        supports = [support, *(support.take(kept) for kept, _ in folds)]
        facts = {"logit_scale": self.logit_scale, "seed": self.seed, "device": self.device}
        heads = [[candidate.prepared(part, facts) for part in supports] for candidate in candidates]
        for _ in fit_supports([head for row in heads for head in row], supports * len(heads)):
            pass
        if not folds:
            return [row[0] for row in heads], []
        held_out = [
            np.concatenate([head._logits(support.means[out]) for head, (_, out) in zip(row[1:], folds, strict=True)])
            for row in heads
        ]
        return [row[0] for row in heads], held_out

    def _logits(self, features: Floats) -> Floats:
        logs = [log_softmax(part.head._logits(features) / part.temperature) for part in self.parts_]
        pooled = _pool(logs, [part.weight for part in self.parts_])
        return np.asarray(pooled / self.pool_temperature_, dtype=np.float32)

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        import torch  # comes with most of the heads that are mixed

        logs = []
        for part in self.parts_:
            assert isinstance(part.head, Traced)
            log_p = torch.log_softmax(part.head.traced_logits(features) / part.temperature, 1)
            logs.append(math.log(part.weight) + log_p)
        pooled = torch.logsumexp(torch.stack(logs), 0).clamp_min(math.log(np.finfo(np.float64).tiny))
        return pooled / self.pool_temperature_

    def for_classes(self, text: Any) -> Self:
        """The mixture for other classes: candidates whose learning is bound to their classes give way to zero-shot."""
        head = self._with_text(text)
        head.parts_ = [part._replace(head=self._of_part(part.head, text)) for part in self.parts_]
        return head

    def _of_part(self, head: Head, text: Any) -> Head:
        if isinstance(head, ClassesFromText):
            other: Head = head.for_classes(text)
            return other
        weights = self._with_text(text).text_
        return ZeroShot(logit_scale=self.logit_scale).fit(weights, np.arange(len(weights)), text=weights)

    def explanation(self) -> dict[str, Any]:
        """What is in the mixture, and why."""
        return {"why": self.why_, "candidates": [part.to_json() for part in self.parts_]}

    @property
    def parameters_(self) -> int:
        """How many numbers were trained, in all heads that were kept."""
        return sum(part.head.parameters_ for part in self.parts_)

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return 4 * classes * dim + 2 * classes + dim * dim // 2

    def _facts(self) -> dict[str, Any]:
        parts = [
            {**part.to_json(), "method": part.head.method, "params": part.head.get_params()} for part in self.parts_
        ]
        return {"mixture": {"why": self.why_, "temperature": self.pool_temperature_, "parts": parts}}

    def _arrays(self) -> dict[str, NDArray[Any]]:
        of_parts = {f"{j}.{name}": a for j, part in enumerate(self.parts_) for name, a in part.head._arrays().items()}
        return {"text_": self.text_, **of_parts}

    def _restore(self, arrays: dict[str, NDArray[Any]], classes: NDArray[Any]) -> None:
        mixture = self.config["mixture"]
        super()._restore({"text_": arrays["text_"]}, classes)
        self.parts_ = []
        known = {candidate.head_class.method: candidate.head_class for candidate in CANDIDATES}
        for j, saved in enumerate(mixture["parts"]):
            params = {**saved["params"], **({"device": self.device} if "device" in saved["params"] else {})}
            head = known[saved["method"]](**params)
            own = {name.partition(".")[2]: a for name, a in arrays.items() if name.startswith(f"{j}.")}
            head._restore(own, classes)
            scores = (saved[name] for name in ("weight", "temperature", "accuracy", "nll"))
            self.parts_.append(Part(saved["name"], head, *scores))
        self.pool_temperature_, self.why_ = float(mixture["temperature"]), str(mixture["why"])


def _kept(weights: Doubles) -> tuple[list[int], list[float]]:
    """Numbers of the candidates that have weight, heaviest first, and their weights, which sum to 1."""
    kept = [j for j in np.argsort(-weights, kind="stable").tolist() if weights[j] >= DROPPED]
    return kept, (weights[kept] / weights[kept].sum()).tolist()


def _pool(logs: list[Doubles], weights: list[float]) -> Doubles:
    """Logarithm (N, C) of the weighted mean of probabilities, from their logarithms."""
    mixed = sum(weight * np.exp(each) for weight, each in zip(weights, logs, strict=True))
    return np.asarray(np.log(np.maximum(mixed, np.finfo(np.float64).tiny)))
