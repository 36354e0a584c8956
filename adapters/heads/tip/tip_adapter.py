"""Tip-Adapter: a training-free cache of the support beside zero-shot.

    logits = s * n(f) n(t)^T + alpha * phi(n(f) F^T) Y,    phi(A) = exp(-beta (1 - A))

with keys F (N, D), the support's features (views averaged raw, then normalised), and one-hot classes Y (N, C).
alpha is the residual ratio and beta the sharpness. Source: Zhang et al., Tip-Adapter (arXiv 2111.03930).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, ClassVar, Self

import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from adapters.abilities import ClosedForm
from adapters.arrays import Floats, Ints, unit
from adapters.blended_head import BlendedHead
from adapters.device import resolve_device
from adapters.errors import AdapterError
from adapters.head import cosine_logits
from adapters.heads.tip.certified import Certified, certified_logits, product_error
from adapters.heads.tip.key_cache import KeyCache
from adapters.heads.tip.key_index import IndexKind
from adapters.heads.tip.tip_search import AffinityBlock, gain_asked_for, held_out_logits, pieces, search_grid
from adapters.heads.traced import traced_cosines
from adapters.parameters import Count, NotNegative, require
from adapters.selection.alpha_choice import Piece, lines_of_betas, set_chosen
from adapters.support import Rows, Support, fold_of_rows


class TipAdapter(BlendedHead, ClosedForm):
    """Tip-Adapter with the paper's fixed alpha and beta.

    Args:
        alpha: residual ratio of the cache; 0 is zero-shot.
        beta: sharpness.
        neighbours: None: every prediction is computed over all keys. Otherwise, with a flat index, predictions are the
            full cache's, but proven where possible without computing all affinities: by sums over each class's keys,
            then by this many nearest keys; the rest is computed over all keys (`certified`). 0 looks no key up, which
            is the fastest on large caches. With another index only this many keys vote, which proves nothing.
        index: where nearest keys are searched: flat (exact), ivf or hnsw (approximate; `adapters.heads.tip.key_index`).
        logit_scale: the encoder's scale s.
        device: auto, cpu, cuda or mps.

    Attributes:
        cache_: the keys in FAISS, with their classes.
    """

    method: ClassVar[str] = "tip"
    source: ClassVar[str] = "Tip-Adapter, arXiv 2111.03930"
    trains: ClassVar[str] = "nothing; a cache of the support"
    needs: ClassVar[str] = "text; views used if there"
    try_when: ClassVar[str] = "nothing may be trained, or classes and shots change often"
    chosen_by_default: ClassVar[tuple[str, ...]] = ("alpha", "beta")

    cache_: KeyCache

    def __init__(
        self,
        *,
        alpha: NotNegative = 1.0,
        beta: NotNegative = 5.5,
        neighbours: Count | None = None,
        index: IndexKind = "flat",
        logit_scale: float = 100.0,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self.neighbours = neighbours
        self.index = index
        self.logit_scale = logit_scale
        self.device = device

    def _check_parameters(self) -> None:
        super()._check_parameters()
        expected = f"1 or more with index={self.index!r}, such as --neighbours 10; or index 'flat'"
        require(self.index == "flat" or bool(self.neighbours), "neighbours", self.neighbours, expected)

    def _fit(self, support: Support) -> None:
        self.cache_ = self._cache(support.means, support.labels, len(support.classes))

    def _cache(self, keys: Floats, labels: Ints, classes: int) -> KeyCache:
        return KeyCache(keys, labels, classes, resolve_device(self.device), self.index)

    @property
    def keys_(self) -> Floats:
        """The cache's keys (N, D), in the order of the support."""
        return self.cache_.keys

    def _parts(self, features: Floats) -> tuple[Floats, Floats]:
        """Zero-shot logits and cache logits, both (N, C)."""
        base = cosine_logits(features, self.text_, self.logit_scale)
        return base, self.cache_.votes(features, self.beta, self._voters)

    @property
    def _voters(self) -> int | None:
        """How many of the nearest keys vote; None: all.

        A flat index serves proofs about all keys' votes, so that `parts` and `tuned` see all of them too; with another
        index they see the votes that predictions are made of.
        """
        return None if self.index == "flat" else self.neighbours

    def certified(self, X: Any) -> Certified:
        """Logits of features (N, D) and which predictions are proven to be the full cache's without all its keys.

        The logits are those of `decision_function`. In rows that are not certified they are the full cache's. In
        certified rows the cache's part is an estimate: its largest logit is proven to be the full cache's, its values
        only to lie within bounds, so that probabilities, and an ECE or a temperature from them, are approximations.
        Use neighbours=None where they must be the full cache's.

        Raises:
            AdapterError: the head has neighbours=None or an approximate index, which certify nothing.
        """
        check_is_fitted(self, "n_features_in_")
        require(self.index == "flat", "index", self.index, "flat: the nearest keys of other indexes are approximate")
        require(self.neighbours is not None, "neighbours", self.neighbours, "0 or more; with None all keys are used")
        return self._certified(unit(self._features(X)))

    def _certified(self, features: Floats) -> Certified:
        return certified_logits(
            self.cache_,
            features,
            cosine_logits(features, self.text_, self.logit_scale),
            alpha=self.alpha,
            beta=self.beta,
            # Unit rows are 1 long but for rounding; two more roundings are those of the scale and its product.
            base_error=product_error(features.shape[1] + 2, 1.001 * abs(self.logit_scale)),
            neighbours=self.neighbours or 0,
        )

    def prediction_note(self, X: Any) -> str:
        """What must be said beside predictions of features (N, D); empty where they are plainly the full cache's."""
        if self.neighbours is None:
            return ""
        if self.index != "flat":
            voters = min(self.neighbours, len(self.cache_))
            return f"only {voters} keys vote, the nearest that {self.index} found: nothing is certified"
        return self.certified(X).note

    def _logits(self, features: Floats) -> Floats:
        if self.index == "flat" and self.neighbours is not None:
            return self._certified(features).logits
        return super()._logits(features)

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`: the full cache's, whose predictions those that certify have too."""
        if self.index != "flat":
            raise AdapterError(
                f"of {self.method} with --index {self.index} only the nearest keys vote that the index finds, which "
                "nothing but the index repeats: fit it with --index flat"
            )
        base = traced_cosines(features, self.text_, self.logit_scale)
        return base + self.alpha * self.cache_.traced_votes(features, self.beta)

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Choose on held-out rows, or on the support with one shot of every class left out.

        Every beta of the published grid is tried with every alpha. Leaving out costs nothing here:
        it masks keys. A row's own key alone would not do: its class would be one key short of the others, and the
        search would shun the cache for it (at 4 shots it ends at zero-shot); leaving the other classes' shots of the
        same number out too keeps them even. The only row of a class is not scored.
        """
        fitted = type(self)(**self.get_params())._fit_support(support)
        return self._set_chosen(head, support, rows, [(fitted, rows)])

    def _set_chosen(
        self, head: Self, support: Support, rows: Rows | None, fitted: Sequence[tuple[Self, Rows | None]]
    ) -> Self:
        """Choose alpha and beta for `head` on the rows beside each fitted head (None: its own, left out in turn)."""

        def pieces_at(betas: Sequence[float]) -> Iterator[Piece]:
            blocks = chain.from_iterable(one._blocks(support, out) for one, out in fitted)
            return pieces(blocks, betas, len(support.classes))

        count = sum(len(one.cache_) * len((support if out is None else out).labels) for one, out in fitted)
        found = lines_of_betas(pieces_at, search_grid()[0], count)
        set_chosen(head, found, ["beta"], rows, least_gain=gain_asked_for(support, rows))
        return head

    def _blocks(self, support: Support, rows: Rows | None) -> Iterator[AffinityBlock]:
        """What to choose on, in blocks; with `rows` None, `self` is fitted on the support."""
        device = self.cache_.device
        if rows is not None:
            base = cosine_logits(rows.features, self.text_, self.logit_scale)
            for block in self.cache_.affinities(rows.features, self._voters):
                part = (torch.from_numpy(a[block.queries]).to(device) for a in (base, rows.labels))
                yield AffinityBlock(next(part), block.values, block.labels, next(part))
            return
        fold = fold_of_rows(support.labels, support.shots)
        base = held_out_logits(support, fold, self.logit_scale)
        for block in self.cache_.held_out(fold, self._voters):
            part = (torch.from_numpy(a[block.queries]).to(device) for a in (base, support.labels))
            whole = AffinityBlock(next(part), block.values, block.labels, next(part))
            keep = torch.from_numpy(fold[block.queries] >= 0).to(device)
            yield whole if keep.all() else AffinityBlock(*(each[keep] for each in whole))

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"text_": self.text_, "keys_": self.cache_.keys, "labels_": self.cache_.labels}

    def _restore(self, arrays: dict[str, NDArray[Any]], classes: NDArray[Any]) -> None:
        keys, labels = arrays.pop("keys_"), arrays.pop("labels_")
        super()._restore(arrays, classes)
        self.cache_ = self._cache(keys, labels, len(classes))
