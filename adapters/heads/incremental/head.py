"""Heads that learn classes task after task: `partial_fit`, and the training loop that they share.

A head adapts the unit image feature f (D,) and compares it with the text of all classes seen so far:

    logits = s * n(A(f)) t^T,    n(x) = x / |x|

Task after task A is trained by cross-entropy over the classes seen so far, on rows of the new classes only; how a head
keeps the old classes is its own. The recipe is that of RAPF's released code (Huang et al., arXiv 2407.14143): Adam, lr
1e-3, a tenth of it after 4 of 15 epochs and a hundredth after 10, batch 100. Scores of class-incremental learning: Last
is the accuracy over all classes after the last task, Average the mean over tasks of the accuracy over the classes seen.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from adapters.arrays import Floats
from adapters.device import resolve_device
from adapters.errors import AdapterError
from adapters.head import Head, cosine_logits
from adapters.heads.traced import traced_cosines
from adapters.parameters import NotNegative, Tried
from adapters.selection.refit import choose_by_refit
from adapters.support import Rows, Support
from adapters.training.loop import AdamW, epoch_batches, threads_for

MILESTONES = (4 / 15, 10 / 15)
"""After which shares of the epochs the learning rate falls to a tenth: 4 and 10 of the released 15."""
Rate = Annotated[NotNegative, Tried(1e-4, 1e-3, 1e-2)]
BLOCK = 8192
"""Rows that are adapted at once."""


def step_rates(lr: float, epochs: int, steps_per_epoch: int) -> list[float]:
    """Learning rate of every step: a tenth from each milestone on."""
    falls = [int(share * epochs) for share in MILESTONES]
    return [lr * 0.1 ** sum(epoch >= fall for fall in falls) for epoch in range(epochs) for _ in range(steps_per_epoch)]


class IncrementalHead(Head):
    """What class-incremental heads share; see the module.

    Attributes:
        weights_: the adapter's weights by name.
        tasks_: tasks learnt so far.
        losses_: training loss of every step of the last task; not saved.
    """

    needs: ClassVar[str] = "text; views used if there"

    weights_: dict[str, Floats]
    tasks_: int
    losses_: Floats

    lr: float
    batch_size: int
    epochs: int
    logit_scale: float
    seed: int
    device: str

    def partial_fit(self, X: Any, y: Any, *, text: Any) -> Self:
        """Learn one more task.

        Args:
            X: features (N, D) or (N, V, D) of the new task alone.
            y: labels (N,), integers that index the rows of `text`.
            text: text (C, D) of all classes seen so far, those of earlier tasks first and in the same order, or an
                object with `.weights()`.

        Returns:
            The head itself.

        Raises:
            AdapterError: as in `fit`, or text that does not begin with that of the earlier tasks.
        """
        if text is None:
            raise AdapterError("partial_fit got text=None; give the text (C, D) of all classes seen so far")
        support = Support.check(X, y, text)
        self._check_parameters()
        if not hasattr(self, "n_features_in_"):
            return self._fit_support(support)
        old = self.text_
        begins = support.text.shape[1] == old.shape[1] and len(support.text) >= len(old)
        if not begins or not np.allclose(support.text[: len(old)], old, atol=1e-4):
            raise AdapterError(
                f"text {support.text.shape} does not begin with the text {old.shape} of the earlier tasks; give all "
                "classes seen so far, old ones first and in the same order, or call fit to start again"
            )
        self.classes_, self.text_ = support.classes, support.text
        self.temperature_ = 1.0  # fitted to other logits, if at all
        self._learn(support)
        return self

    def for_classes(self, text: Any) -> Self:
        """The same adapter before other classes' text: it does not know which classes it was trained on."""
        return self._with_text(text)

    def _fit(self, support: Support) -> None:
        """Forget everything and learn the first task."""
        self.tasks_ = 0
        generator = torch.Generator().manual_seed(self.seed)
        self.weights_ = {name: w.numpy() for name, w in self._initial(support.text.shape[1], generator).items()}
        self._learn(support)

    def _learn(self, support: Support) -> None:
        """Learn a task: train, then merge with the weights before it."""
        device = resolve_device(self.device)
        generator = torch.Generator().manual_seed((self.seed << 16) + self.tasks_ + 1)  # new draws for every task
        before = {name: torch.from_numpy(weight).to(device) for name, weight in self.weights_.items()}
        weights = {name: weight.clone() for name, weight in before.items()}
        with threads_for(self.batch_size * len(support.text)):
            self.losses_ = self._train(weights, support, generator, device).numpy()
            if self.tasks_:
                weights = self._merge(before, weights)
        self.weights_ = {name: weight.cpu().numpy() for name, weight in weights.items()}
        self.tasks_ += 1

    def _train(
        self, weights: dict[str, Tensor], support: Support, generator: torch.Generator, device: torch.device
    ) -> Tensor:
        """Train the weights in place; the loss before every update (steps,)."""
        views, labels, text = (
            torch.from_numpy(a).to(device) for a in (support.unit_views, support.labels, support.text)
        )
        plan = epoch_batches(len(labels), self.batch_size, self.epochs, generator, drop_last=False)
        steps = [rows.to(device) for epoch in plan for rows in epoch]
        per_epoch = math.ceil(len(labels) / self.batch_size)
        rates = step_rates(self.lr, self.epochs, per_epoch)
        optimizers = [AdamW(weight, weight_decay=0.0, eps=1e-8) for weight in weights.values()]
        losses = torch.zeros(len(steps))
        for number, (rows, rate) in enumerate(zip(steps, rates, strict=True)):
            view = int(torch.randint(views.shape[1], (1,), generator=generator))
            features, targets = views[rows, view], labels[rows]
            leaves = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
            old_features, old_targets = self._replay(number % per_epoch, per_epoch, generator, device)
            with torch.enable_grad():
                adapted = normalize(self._adapt(leaves, torch.cat([features, old_features])), dim=1)
                loss = cross_entropy(self.logit_scale * (adapted @ text.T), torch.cat([targets, old_targets]))
                loss = loss + self._penalty(leaves, text, generator)
            losses[number] = loss.detach()
            gradients = torch.autograd.grad(loss, list(leaves.values()))
            for optimizer, gradient in zip(optimizers, gradients, strict=True):
                optimizer.step(gradient, rate)
        return losses

    @abstractmethod
    def _initial(self, dim: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Weights before the first task."""

    @abstractmethod
    def _adapt(self, weights: dict[str, Tensor], rows: Tensor) -> Tensor:
        """A(f) (B, D), not yet normalised, of unit rows (B, D)."""

    @abstractmethod
    def _merge(self, old: dict[str, Tensor], new: dict[str, Tensor]) -> dict[str, Tensor]:
        """What is kept of the weights before and after a task, from the second task on."""

    def _replay(
        self, batch: int, batches: int, generator: torch.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Rows (R, D) and classes (R,) that stand in for old classes in a step, by default none.

        Args:
            batch: number of the step in its epoch.
            batches: steps of an epoch.
            generator: source of draws.
            device: where to put them.
        """
        return torch.zeros(0, self.n_features_in_, device=device), torch.zeros(0, dtype=torch.int64, device=device)

    def _penalty(self, weights: dict[str, Tensor], text: Tensor, generator: torch.Generator) -> Tensor:
        """What is added to the loss, by default nothing."""
        return text.new_zeros(())

    def _logits(self, features: Floats) -> Floats:
        device = resolve_device(self.device)
        weights = {name: torch.from_numpy(weight).to(device) for name, weight in self.weights_.items()}
        with torch.inference_mode(), threads_for(features.size):
            blocks = torch.split(torch.from_numpy(features), BLOCK)
            adapted = [normalize(self._adapt(weights, block.to(device)), dim=1).cpu() for block in blocks]
        return cosine_logits(np.asarray(torch.cat(adapted)), self.text_, self.logit_scale)

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        weights = {name: torch.from_numpy(weight) for name, weight in self.weights_.items()}
        return traced_cosines(normalize(self._adapt(weights, features), dim=1), self.text_, self.logit_scale)

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Try learning rates on the task given; see `choose_by_refit`."""
        choose_by_refit(head, support, rows, "lr")
        return head

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"text_": self.text_, "tasks_": np.array([self.tasks_]), **self.weights_}

    def _restore(self, arrays: dict[str, NDArray[Any]], classes: NDArray[Any]) -> None:
        super()._restore({"text_": arrays.pop("text_")}, classes)
        self.tasks_ = int(arrays.pop("tasks_")[0])
        self.weights_ = arrays
