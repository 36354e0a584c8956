"""Tip-Adapter-F: Tip-Adapter whose keys are fine-tuned.

    logits = s * n(f) n(t)^T + alpha * phi(n(f) F^T) Y,    phi(A) = exp(-beta (1 - A))

The keys F (N, D) start as Tip-Adapter's and are trained by cross-entropy with AdamW; they are not normalised again, and
Y and the text stay fixed. Source: Zhang et al., Tip-Adapter (arXiv 2111.03930), and the recipe of its released code,
except that the keys of the last epoch are kept: the released code keeps the epoch that is best on the test set.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from numpy.typing import NDArray

from adapters.errors import AdapterError
from adapters.heads.tip.key_index import IndexKind
from adapters.heads.tip.tip_adapter import TipAdapter
from adapters.heads.tip.tip_search import search_grid
from adapters.heads.tip.trained_keys import KeyStack, Plan
from adapters.parameters import AtLeast1, Count, NotNegative
from adapters.selection.held_out import held_out_splits, sane
from adapters.support import Rows, Support
from adapters.training.balance import Balanced
from adapters.training.loop import cosine, epoch_batches
from adapters.training.stacking import fit_supports
from adapters.training.trained_head import TrainedHead

FOLDS = 4
"""Folds over the shots when `tuned` has only the support."""


class TipAdapterF(TrainedHead[Plan], TipAdapter):
    """Tip-Adapter-F with the released recipe as defaults.

    With augmented views, epoch e trains on view e modulo the number of views.

    Args:
        alpha: residual ratio of the cache; 0 is zero-shot.
        beta: sharpness.
        train_alpha: residual ratio while the keys are trained; None: `alpha`.
        train_beta: sharpness while the keys are trained; None: `beta`.
        neighbours: as in Tip-Adapter, when predicting; training always uses all keys.
        index: as in Tip-Adapter.
        lr: learning rate, falling along a cosine towards 0.
        weight_decay: weight decay (decoupled).
        batch_size: rows of a step.
        epochs: passes over the support (the authors train EuroSAT for 100).
        balance: of classes with unequal numbers of shots, in the loss: none, loss or logit (`training.balance`).
        logit_scale: the encoder's scale s.
        seed: seed of the shuffles.
        device: auto, cpu, cuda or mps.

    Attributes:
        cache_: the trained keys in FAISS, with their classes.
        losses_: training loss of every step; not saved.
    """

    method: ClassVar[str] = "tip-f"
    trains: ClassVar[str] = "the cache's keys"
    with_classes = None  # type: ignore[assignment]  # which Tip-Adapter has, whose keys nobody trains
    try_when: ClassVar[str] = "a good zero-shot: with fixed settings it hardly falls below it"

    def __init__(
        self,
        *,
        alpha: NotNegative = 1.0,
        beta: NotNegative = 5.5,
        train_alpha: NotNegative | None = None,
        train_beta: NotNegative | None = None,
        neighbours: Count | None = None,
        index: IndexKind = "flat",
        lr: NotNegative = 1e-3,
        weight_decay: NotNegative = 0.01,
        batch_size: AtLeast1 = 256,
        epochs: AtLeast1 = 20,
        balance: Balanced = "logit",
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        super().__init__(
            alpha=alpha, beta=beta, neighbours=neighbours, index=index, logit_scale=logit_scale, device=device
        )
        self.train_alpha = train_alpha
        self.train_beta = train_beta
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.balance = balance
        self.seed = seed

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return rows * dim

    def _keys(self) -> int:
        return len(self.cache_)

    def _plan(self, support: Support) -> Plan:
        generator = torch.Generator().manual_seed(self.seed)
        rows, views, _ = support.views.shape
        plan = epoch_batches(rows, self.batch_size, self.epochs, generator, drop_last=False)
        seen = [chosen * views + epoch % views for epoch, batches in enumerate(plan) for chosen in batches]
        trained_with = self._trained_with()
        return Plan(support, seen, cosine(self.lr, len(seen)), *trained_with, self.weight_decay, self.logit_scale)

    def _trained_with(self) -> tuple[float, float]:
        """Alpha and beta while the keys are trained."""
        return (
            self.alpha if self.train_alpha is None else self.train_alpha,
            self.beta if self.train_beta is None else self.train_beta,
        )

    def _stack_key(self, support: Support) -> Hashable:
        return support.views.shape, support.text.shape, self.batch_size, self.epochs

    def _state_bytes(self, support: Support) -> int:
        return 4 * 3 * support.means.size

    def _diverged(self, rows: Rows) -> bool:
        """Whether keys, or votes at the sharpest beta that `tuned` tries, are of no training that went well."""
        votes = self.cache_.votes(rows.features, float(search_grid()[0][-1]), self._voters)
        return not (sane(self.keys_).all() and sane(votes).all())

    @staticmethod
    def _stack(plans: Sequence[Plan], device: torch.device) -> KeyStack:
        return KeyStack(plans, device)

    def _take(self, learned: Mapping[str, NDArray[Any]]) -> None:
        self.cache_ = self._cache(learned["keys_"], learned["labels_"], len(self.classes_))

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Train the keys with the alpha and beta at hand, then choose those of prediction.

        The clone keeps the former as `train_alpha` and `train_beta`, so that its `fit` trains the very same keys. With
        only the support, keys are trained on all but the held-out shots of each fold, whose rows are put together.
        """
        splits = held_out_splits(support, rows, FOLDS)
        heads = [type(self)(**self.get_params()) for _ in splits]
        for i in fit_supports(heads, [kept for kept, _ in splits]):
            if heads[i]._diverged(splits[i][1]):
                raise AdapterError(f"tip-f diverged at lr={self.lr:g}; type a smaller --lr")
        self._set_chosen(head, support, rows, [(each, out) for each, (_, out) in zip(heads, splits, strict=True)])
        head.train_alpha, head.train_beta = self._trained_with()
        return head
