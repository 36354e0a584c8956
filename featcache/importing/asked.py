"""What `featcache import` was asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from featcache.datasets.listing import SPLITS
from featcache.errors import DataError
from featcache.importing.roles import NONE, ROLES
from featcache.places.folder import check_name

DType = Literal["auto", "float16", "float32"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One call of `featcache import`.

    Attributes:
        source: A file or folder of arrays.
        name: The cache's name; None: that of the source.
        arrays: Which array is what, where names do not say it: `{"embeddings": "feats"}`, `{"train.labels": "y16"}`; a
            file in place of a name; `none` for an array to leave out.
        class_names: Class names in place of those in the source: a file, or `cat,dog`.
        split: The split that all rows are of.
        model: The encoder that made the embeddings, by the user's word.
        pretrained: Its weights.
        templates: Prompts that the encoder is to make text embeddings of.
        logit_scale: The encoder's, where no encoder is named and the source does not say it.
        dtype: Of the stored numbers; auto: as they come, but float16 at least and float32 at most.
        on_error: What rows do that are all zero or no numbers: fail the import, or stay empty.
        seed: Of the splits that are made here.
        device: Where texts are encoded.
        root: Where caches live.
    """

    source: Path
    name: str | None = None
    arrays: Mapping[str, str] = field(default_factory=dict)
    class_names: str | Path | None = None
    split: str | None = None
    model: str | None = None
    pretrained: str | None = None
    templates: str | None = None
    logit_scale: float | None = None
    dtype: DType = "auto"
    on_error: Literal["fail", "skip"] = "fail"
    seed: int = 0
    device: str = "auto"
    root: str | None = None

    def __post_init__(self) -> None:
        for role in self.arrays:
            of_split, dot, bare = role.rpartition(".")
            if bare not in ROLES or (dot and of_split not in SPLITS):
                raise DataError(
                    f"--array {role}=…: expected one of {', '.join(ROLES)}, with train., val. or test. before it for "
                    f"an array of one split, and after the = its name, a file, or {NONE}"
                )
        if self.split is not None and self.split not in SPLITS:
            raise DataError(f"--split {self.split} given; expected {', '.join(SPLITS)}")
        if self.model is None and (self.pretrained or self.templates):
            given = "--pretrained" if self.pretrained else "--templates"
            raise DataError(f"{given} needs the encoder that made the embeddings: type --model, too")
        if self.logit_scale is not None and (self.model or not is_scale(self.logit_scale)):
            told = "an encoder has its own: leave it out" if self.model else "expected a number above 0, such as 100"
            raise DataError(f"--logit-scale {self.logit_scale:g} given; {told}")

    @property
    def cache_name(self) -> str:
        """The cache's name."""
        if self.name:
            check_name(self.name, "the cache's name")
            return self.name
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.source.resolve().stem).lstrip("._-") or "cache"


def is_scale(number: float) -> bool:
    """Whether cosines can be multiplied with it."""
    return 0 < number < math.inf
