"""Meta-Adapter: class text that attends over its own few shots, learnt once and applied online.

    M_c  = [t_c; F_c1 .. F_cK]                          the class's text and its support features, (K + 1, D)
    a_c  = softmax((W_q t_c) (M_c W_k^T)^T / sqrt(D))   one head; no value and no output projection
    g_c  = sigmoid(w . t_c + b)                         the gate
    t'_c = n(t_c + g_c a_c M_c),    logits = s * n(f) t'^T,    n(x) = x / |x|

W_q, W_k (D, D), w (D,), b scalar: 2 D^2 + D + 1 numbers, shared by all classes, so that they can be learnt on base
classes or data sets and applied to classes never seen by a forward pass. Source: Cheng et al., Meta-Adapter (arXiv
2311.03774), and its released code: AdamW, cosine per step, 5 epochs, batch 64.

The scores are computed as (W_k^T W_q t_c) . m: the same numbers, without projecting the memory, which is K times more.

Where this differs from the released code, on purpose: the memory is made of training shots (released: of the validation
split), the last epoch is kept (released: the best on the evaluation set), and a row is never in the memory that it is
scored with while the weights are learnt. The released memory instead takes each batch in, first in first out, and the
evaluation then reads that memory: `memory="fifo"` does the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from adapters.arrays import Floats
from adapters.device import resolve_device
from adapters.errors import AdapterError
from adapters.head import cosine_logits
from adapters.head_files import read_config
from adapters.heads.meta_adapter.attention import Memory, Weights, attend
from adapters.heads.meta_adapter.stack import MetaStack, Plan
from adapters.heads.meta_adapter.steps import Step, steps_of
from adapters.heads.traced import traced_cosines
from adapters.parameters import AtLeast1, NotNegative
from adapters.support import Support
from adapters.tasks.same_encoder import first_difference
from adapters.training.trained_head import TrainedHead

MemoryKind = Literal["held-out", "fifo"]


class MetaAdapter(TrainedHead[Plan]):
    """Meta-Adapter with the released recipe as defaults.

    `fit` learns the weights on the support's own classes and adapts to them. To learn on base classes and adapt to
    others: `MetaAdapter().meta_fit((X, y, text), ...)`, then `save`; later `MetaAdapter.load(folder).adapt(support,
    text)`, or `fit` with `meta=folder`, which adapts by a forward pass and learns nothing.

    The memory while learning (`memory="held-out"`): an epoch draws the shots of all classes in a random order and goes
    through them a few at a time (as many as make a batch, at most half of them); those rows are the batch, and their
    shots are out of the memory of every class, which so stays even. With one shot a class nothing can be held out:
    the weights then stay as they began.

    Args:
        meta: folder of a saved Meta-Adapter whose weights are used as they are; None: `fit` learns them.
        memory: what a training step's memory holds: held-out (all shots but the batch's) or fifo (as released: the
            whole support, itself included, updated first in first out by every batch, and left so for `fit`).
        lr: learning rate, falling along a cosine towards 0.
        weight_decay: weight decay (decoupled).
        batch_size: rows of a step.
        epochs: passes over the rows.
        logit_scale: the encoder's scale s.
        seed: seed of initial weights, shuffles and views.
        device: auto, cpu, cuda or mps.

    Attributes:
        q_weight_: W_q (D, D).
        k_weight_: W_k (D, D).
        gate_weight_: w (1, D).
        gate_bias_: b (1,).
        adapted_: t' (C, D), unit rows; no rows after `meta_fit` alone.
        losses_: training loss of every step; not saved.
    """

    method: ClassVar[str] = "meta"
    source: ClassVar[str] = "Meta-Adapter, arXiv 2311.03774"
    trains: ClassVar[str] = "query and key projections and a gate, once for all classes"
    needs: ClassVar[str] = "text; views used if there"
    try_when: ClassVar[str] = "one head for many data sets: learnt on some, applied to others without training"
    learned: ClassVar[tuple[str, ...]] = ("q_weight_", "k_weight_", "gate_weight_", "gate_bias_", "adapted_")

    q_weight_: Floats
    k_weight_: Floats
    gate_weight_: Floats
    gate_bias_: Floats
    adapted_: Floats
    losses_: Floats

    def __init__(
        self,
        *,
        meta: str | None = None,
        memory: MemoryKind = "held-out",
        lr: NotNegative = 1e-4,
        weight_decay: NotNegative = 0.01,
        batch_size: AtLeast1 = 64,
        epochs: AtLeast1 = 5,
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.meta = meta
        self.memory = memory
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    @classmethod
    def load(cls, folder: str | Path, *, device: str | None = None) -> MetaAdapter:
        """A saved Meta-Adapter.

        Raises:
            RunError: nothing there, or damaged.
            AdapterError: a head of another method.
        """
        method = read_config(folder)["method"]
        if method != cls.method:
            raise AdapterError(f"{folder} holds a head of method {method!r}; expected {cls.method!r}")
        return cls.from_files(folder, device=device)

    def meta_fit(self, *sets: tuple[Any, Any, Any]) -> Self:
        """Learn the weights on base classes; the head then knows no class until `adapt`.

        Args:
            *sets: one (X, y, text) for every base data set, as in `fit`; all of one encoder.

        Returns:
            The head itself.
        """
        supports = [Support.check(*each) for each in sets]
        widths = sorted({support.text.shape[1] for support in supports})
        if len(widths) != 1:
            found = f"columns of X: {widths}" if sets else "no set"
            raise AdapterError(f"meta_fit got {found}; give one or more (X, y, text) of one encoder")
        self._check_parameters()
        stack = MetaStack([self._learning(supports)], resolve_device(self.device))
        stack.advance()
        self.losses_ = stack.losses[0].cpu().numpy()
        self._take(stack.learned(0))
        self._know_nothing(widths[0])
        return self

    def adapt(self, X: Any, y: Any = None, text: Any = None) -> Self:
        """A new head for other classes, by a forward pass: nothing is learnt.

        Args:
            X: support features (N, D) or (N, V, D); or an object with `.images` (N, D) and `.labels` (N,), and maybe
                `.views` (N, V, D), such as a task's support, and then the text comes next: `adapt(support, text)`.
            y: labels (N,), integers that index the rows of `text`.
            text: class text (C, D), or an object with `.weights()`.

        Returns:
            A fitted head with the same weights.
        """
        check_is_fitted(self, "n_features_in_")
        if hasattr(X, "images") and hasattr(X, "labels"):
            views = getattr(X, "views", None)
            X, y, text = (X.images if views is None else views), X.labels, (y if text is None else text)
        support = Support.check(X, y, text)
        if support.text.shape[1] != self.n_features_in_:
            raise AdapterError(
                f"the support has {support.text.shape[1]} columns; the weights were learnt on {self.n_features_in_}: "
                "both must come from the same encoder"
            )
        head: Self = clone(self)
        for name in (f"{part}_" for part in Weights._fields):
            setattr(head, name, getattr(self, name).copy())
        head.classes_, head.text_ = support.classes, support.text
        head.n_features_in_ = self.n_features_in_
        memory, device = Memory.of(support), resolve_device(self.device)
        weights = Weights(*(each.to(device) for each in self._weights()))
        parts = torch.from_numpy(support.text), torch.from_numpy(support.means)[memory.rows], memory.present
        head.adapted_ = attend(weights, *(part.to(device) for part in parts)).unit.cpu().numpy()
        return head

    def check_encoder(self, encoder: Mapping[str, Any], name: str) -> None:
        """Refuse weights in `meta` that were learnt on another encoder's features, as far as their folder says which.

        Raises:
            AdapterError: they were.
        """
        learnt_on = None if self.meta is None else read_config(self.meta).get("encoder")
        if learnt_on is not None and first_difference(encoder, learnt_on):
            raise AdapterError(
                f"--meta {self.meta} was learnt on another encoder than {name}'s; learn it with --meta-train"
            )

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return 2 * dim * dim + dim + 1

    def _plan(self, support: Support) -> Plan:
        """With `meta`, the weights that were learnt and no step."""
        if self.meta is None:
            return self._learning([support])
        learnt = type(self).load(self.meta)
        if learnt.n_features_in_ != support.text.shape[1]:
            raise AdapterError(
                f"X has {support.text.shape[1]} columns but {self.meta} was learnt on {learnt.n_features_in_}; "
                "both must come from the same encoder"
            )
        return self._with([support], learnt._weights(), [])

    def _learning(self, supports: list[Support]) -> Plan:
        """Learning on base sets."""
        generator = torch.Generator().manual_seed(self.seed)  # on the CPU: the same draws whatever the device
        weights = Weights.initial(supports[0].text.shape[1], generator)
        fifo, size = self.memory == "fifo", self.batch_size
        steps = steps_of(supports, self.epochs, generator, fifo=fifo, batch_size=size)
        return self._with(supports, weights, steps)

    def _with(self, supports: list[Support], weights: Weights, steps: list[Step]) -> Plan:
        """A plan with this head's settings."""
        settings = self.lr, self.weight_decay, self.logit_scale, self.memory == "fifo", self.batch_size
        return Plan(supports, weights, steps, *settings)

    def _stack_key(self, support: Support) -> Hashable:
        counts = np.bincount(support.labels)
        even = len(set(counts[counts > 0])) == 1
        # With uneven classes the number of steps depends on which shots the seed holds out together.
        draw = None if even or self.memory == "fifo" else (self.seed, support.labels.tobytes())
        shape = support.views.shape, support.text.shape, support.shots
        return shape, self.batch_size, self.epochs, self.memory, self.meta, draw

    def _state_bytes(self, support: Support) -> int:
        dim: int = support.text.shape[1]
        return 4 * 4 * 2 * dim * dim

    @staticmethod
    def _stack(plans: Sequence[Plan], device: torch.device) -> MetaStack:
        return MetaStack(plans, device)

    def _weights(self) -> Weights:
        return Weights(*(torch.from_numpy(getattr(self, name + "_")) for name in Weights._fields))

    def _know_nothing(self, dim: int) -> None:
        self.classes_ = np.arange(0)
        self.text_ = self.adapted_ = np.zeros((0, dim), dtype=np.float32)
        self.n_features_in_ = dim

    def _logits(self, features: Floats) -> Floats:
        return cosine_logits(features, self.prototypes(), self.logit_scale)

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        return traced_cosines(features, self.prototypes(), self.logit_scale)

    def prototypes(self) -> Floats:
        """Adapted unit text t' (C, D), of at least one class."""
        if not len(self.adapted_):
            raise AdapterError("this Meta-Adapter knows no class yet; use what adapt(support, text) returns")
        return self.adapted_
