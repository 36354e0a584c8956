"""Several caches of the same images, from different encoders, as one cache."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from adapters.arrays import Ints
from adapters.errors import AdapterError
from adapters.joining.joined_split import JoinedSplit
from adapters.joining.joined_text import JoinedText, join_texts
from adapters.joining.matching import matching_rows
from adapters.joining.places import Placed, place_of
from featcache.cache.labels_file import LabelsFile
from featcache.cache.reading import Cache
from featcache.cache.split import CachedSplit
from featcache.origin import UNKNOWN, is_known
from featcache.places.folder import absolute
from featcache.records import canonical_json, digest

AUTO: Literal["auto"] = "auto"
"""In place of weights: each fit chooses its own (`adapters.fitting.joint_weights`)."""
EQUAL, GIVEN = "equal", "as given"


class JoinedCache(Cache):
    """A cache as every head takes one, made of M caches. Get one from `adapters.join`.

    With unit features f_m of an image, unit class texts t_mc and logit scales s_m of the encoders, and weights ω_m >= 0
    with Σ ω_m = 1, an image and a class are the unit rows

        x   = [√ω_1 f_1; ...; √ω_M f_M]                                       so that x · x' = Σ ω_m f_m · f'_m
        t_c = [√ω_1 s_1 t_1c; ...; √ω_M s_M t_Mc] / S,    S² = Σ ω_m s_m²

    and the logit scale is S / Ω, where Ω is the sum of ω_m over the encoders with text. Zero-shot is then the weighted
    mean of the encoders' own logits, Σ ω_m s_m f_m · t_mc / Ω. An encoder without text has zeros in t_c: it takes part
    in what images say of each other alone.

    Ids, labels and their mending, files' digests and pictures are those of the first cache.

    Attributes:
        parts: the caches.
        weights: ω (M,).
        chosen_by: how the weights came about, in words.
        auto: whether they are still to be chosen; until then they are equal.
    """

    def __init__(
        self,
        parts: Sequence[Cache],
        weights: Sequence[float],
        rows: Sequence[Mapping[str, Ints | None]],
        *,
        chosen_by: str,
        auto: bool = False,
    ) -> None:
        first = parts[0]
        self.folder, self.manifest, self.completion, self.mended = (
            first.folder,
            first.manifest,
            first.completion,
            first.mended,
        )
        self.parts, self.weights, self.chosen_by, self.auto = tuple(parts), tuple(weights), chosen_by, auto
        self._orders = rows
        self._splits: dict[str, CachedSplit] = {}

    @property
    def name(self) -> str:
        """The names of all."""
        return "+".join(part.name for part in self.parts)

    @property
    def path(self) -> str:
        """Where all are, with their weights (`adapters.joining.places`)."""
        return place_of([Placed(absolute(part.path), w) for part, w in zip(self.parts, self.weights, strict=True)])

    @property
    def digest(self) -> str:
        """Of what all were made from, and of their weights."""
        return digest({"joined": [part.digest for part in self.parts], "weights": self._weights_told})

    @property
    def _weights_told(self) -> list[float] | str:
        return AUTO if self.auto else list(self.weights)

    @cached_property
    def encoder(self) -> Mapping[str, Any]:
        """As of one encoder; `joined` has the encoders, with their weights and how their caches were encoded."""
        own = [part.encoder for part in self.parts]
        known = all(map(is_known, own))
        transforms = [[each["transform_sha256"] for each in own], self._weights_told]
        return {
            "architecture": " + ".join(Path(each["architecture"]).name for each in own),
            "pretrained": " + ".join(Path(each["pretrained"]).name for each in own),
            "weights": self._weights_told,
            "weights_sha256": digest([each["weights_sha256"] for each in own]) if known else UNKNOWN,
            "quick_gelu": None,
            "image_size": None,
            "dim": sum(each["dim"] for each in own),
            "transform": canonical_json([each["transform"] for each in own]),
            "transform_sha256": digest(transforms),
            "precision": " + ".join(each["precision"] for each in own),
            "joined": [
                {**each, "weight": weight, "cache": {"name": part.name, "digest": part.digest, **part.how_encoded}}
                for part, each, weight in zip(self.parts, own, self.weights, strict=True)
            ],
        }

    @property
    def projections(self) -> None:
        """None: each of the encoders has its own."""

    @property
    def how_encoded(self) -> dict[str, Any]:
        """Nothing: each of the encoders' caches has its own, which `encoder` names."""
        return {}

    @property
    def joined(self) -> dict[str, Any]:
        """What was joined, for results, as JSON-able values."""
        parts = [
            {
                "cache": part.name,
                "digest": part.digest,
                "model": part.encoder["architecture"],
                "pretrained": part.encoder["pretrained"],
                "weight": weight,
                "text": has_text(part),
            }
            for part, weight in zip(self.parts, self.weights, strict=True)
        ]
        return {"parts": parts, "chosen_by": self.chosen_by, "auto": self.chosen_by not in (EQUAL, GIVEN)}

    @property
    def caveat(self) -> str:
        """What must be known of any of them, and of their views."""
        told = [f"{part.name}: {part.caveat}" for part in self.parts if part.caveat]
        counts = [(part.manifest["identity"]["views"] or {}).get("count", 0) for part in self.parts]
        if len(set(counts)) > 1:
            told.append(f"views left out: the caches have {' and '.join(map(str, counts))}")
        return "; ".join(told)

    def __getitem__(self, split: str) -> CachedSplit:
        if split not in self._splits:
            parts = [part[split] for part in self.parts]
            self._splits[split] = JoinedSplit(parts, [order[split] for order in self._orders], self.weights)
        return self._splits[split]

    def weighted(self, weights: Sequence[float], chosen_by: str) -> JoinedCache:
        """The same caches with other weights."""
        return JoinedCache(self.parts, weights, self._orders, chosen_by=chosen_by)

    def relabelled(self, labels: str | Path | LabelsFile) -> JoinedCache:
        """The same caches with mended labels; see `Cache.relabelled`."""
        parts = [self.parts[0].relabelled(labels), *self.parts[1:]]
        return JoinedCache(parts, self.weights, self._orders, chosen_by=self.chosen_by, auto=self.auto)

    def load(self) -> JoinedCache:
        """Read all of them; see `Cache.load`."""
        for part in self.parts:
            part.load()
        return self

    @property
    def prompt_sets(self) -> tuple[str, ...]:
        """The prompt sets that every encoder with text has, after the default one, which may be made of several."""
        of_parts = [part.prompt_sets for part in self.parts if has_text(part)]
        common = [name for name in (of_parts[0] if of_parts else ()) if all(name in names for names in of_parts)]
        default = [self.text.name] if of_parts else []
        return tuple(dict.fromkeys([*default, *common]))

    @cached_property
    def text(self) -> JoinedText:
        """Of the default prompt set of each."""
        if not any(map(has_text, self.parts)):
            self.parts[0].text  # noqa: B018  # says what is missing
        return self._joined_text(None)

    def text_set(self, name: str | None = None) -> JoinedText:
        """Of a named prompt set of each (None: the default one of each)."""
        return self.text if name in (None, self.text.name) else self._joined_text(name)

    def _joined_text(self, name: str | None) -> JoinedText:
        texts = [part.text_set(name) if has_text(part) else None for part in self.parts]
        return join_texts(texts, [part.encoder["dim"] for part in self.parts], self.weights)


def refuse_auto(cache: Cache, who: str) -> None:
    """Refuse weights that are still to be chosen, where nothing chooses them.

    Raises:
        AdapterError: says `who` does not.
    """
    if isinstance(cache, JoinedCache) and cache.auto:
        raise AdapterError(f"--weights {AUTO} given, and {who}: type numbers, or leave it out for equal weights")


def has_text(cache: Cache) -> bool:
    """Whether a cache has class text at all: a vision encoder's has none."""
    return bool(cache.prompt_sets)


def join(caches: Sequence[Cache], weights: Sequence[float] | Literal["auto"] | None = None) -> JoinedCache:
    """Join caches of the same images, row by row by the images' ids.

    Args:
        caches: two or more, of different encoders; labels and pictures are the first one's.
        weights: of each, not negative; what counts is their ratio. None: equal. "auto": every fit chooses its own, on
            what its selection regime allows.

    Raises:
        AdapterError: fewer than two caches, one of them twice, or weights that do not fit.
        TaskError: the caches are not of the same images and classes: the first difference.
    """
    names = [cache.name for cache in caches]
    if len(caches) < 2:
        raise AdapterError(f"{len(caches)} cache given to join; expected two or more: type --cache A --cache B")
    if len({cache.digest for cache in caches}) < len(caches):
        raise AdapterError(f"caches {', '.join(names)} given to join; expected each encoder once")
    rows: list[dict[str, Ints | None]] = [dict.fromkeys(caches[0].splits)]
    rows += [matching_rows(caches[0], other) for other in caches[1:]]
    equal = [1 / len(caches)] * len(caches)
    if weights is None or isinstance(weights, str):
        if weights not in (None, AUTO):
            raise AdapterError(f"weights={weights!r}; expected numbers, {AUTO!r} or None")
        return JoinedCache(caches, equal, rows, chosen_by=EQUAL, auto=weights is not None)
    total = math.fsum(weights)
    if len(weights) != len(caches) or not (min(weights) >= 0 and 0 < total < math.inf):
        given = ",".join(f"{weight:g}" for weight in weights)
        raise AdapterError(f"--weights {given} given; expected {len(caches)} numbers, 0 or more and not all 0")
    # Shares stay the numbers that they are: divided by a sum that rounding took off 1 they would name another cache.
    shares = list(weights) if math.isclose(total, 1, rel_tol=1e-12) else [weight / total for weight in weights]
    return JoinedCache(caches, shares, rows, chosen_by=EQUAL if shares == equal else GIVEN)
