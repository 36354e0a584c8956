"""CLIP-Adapter: a bottleneck on the image feature, blended with it.

    A(f)  = ReLU(W2 ReLU(W1 f))            W1 (D/4, D), W2 (D, D/4), no biases; the second ReLU is part of the method
    f'    = alpha A(f) + (1 - alpha) f
    logits = s * n(f') n(t'_c)^T           n(x) = x / |x|

and, where `text_alpha` is above 0, t' = text_alpha A_t(t) + (1 - text_alpha) t with a bottleneck of its own; otherwise
t' = t. W1 and W2 are trained by cross-entropy. Source: Gao et al., CLIP-Adapter (arXiv 2110.04544), and the recipe of
its released code: SGD, one warm-up epoch, cosine per epoch.

The learning rate is the one default that is not the released one. 2e-3 belongs to a fresh random crop in every step; on
cached features it hardly leaves zero-shot at few shots. 0.1 is what CLAP's authors use for this method on cached
features, and validation accuracy bears it out (docs/methods.md). `--lr 0.002` is the released recipe.

Without biases A(c f) = c A(f) for c > 0, so the logits, and with them the training, are the same for raw and for unit
features; unit features are used here.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from adapters.arrays import Floats, Support
from adapters.base import Head, Rows, cosine_logits, require
from adapters.bottleneck import Batch, Bottleneck, train
from adapters.held_out import held_out_splits
from adapters.training import default_epochs, epoch_batches, resolve_device, threads_for, warmup_cosine

ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Residual ratios that `tuned` tries: those of the paper's ablation."""
FOLDS = 2
"""Folds over the shots when `tuned` has only the support: a training for every alpha and fold is the cost."""


class ClipAdapter(Head):
    """CLIP-Adapter, trained by the released recipe at a learning rate for cached features.

    Every epoch is a new shuffle, of which an incomplete last batch is left out, as the released framework does; a
    support smaller than a batch is one batch. With augmented views every step draws one view.

    Args:
        alpha: residual ratio of the image adapter; 0 is zero-shot.
        text_alpha: residual ratio of the text adapter; 0 trains none.
        hidden: width of the bottleneck; None: D // 4.
        lr: learning rate after the warm-up; 0.002 in the released code.
        weight_decay: weight decay (coupled).
        momentum: momentum.
        batch_size: rows of a step.
        epochs: passes over the support; None: 50, 100 or 200 for 1, 2-4 or more shots.
        logit_scale: the encoder's scale s.
        seed: seed of initial weights, shuffles and views.
        device: auto, cpu, cuda or mps.

    Attributes:
        w1_: first layer (H, D).
        w2_: second layer (D, H).
        text_w1_: first layer of the text adapter, where there is one.
        text_w2_: second layer of the text adapter, where there is one.
        losses_: training loss of every step; not saved.
    """

    method: ClassVar[str] = "clip"
    source: ClassVar[str] = "CLIP-Adapter, arXiv 2110.04544"
    trains: ClassVar[str] = "a bottleneck D -> D/4 -> D"
    needs: ClassVar[str] = "text; views used if there"

    def __init__(
        self,
        *,
        alpha: float = 0.2,
        text_alpha: float = 0.0,
        hidden: int | None = None,
        lr: float = 0.1,
        weight_decay: float = 5e-4,
        momentum: float = 0.9,
        batch_size: int = 32,
        epochs: int | None = None,
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.text_alpha = text_alpha
        self.hidden = hidden
        self.lr = lr
        self.weight_decay = weight_decay
        self.momentum = momentum
        self.batch_size = batch_size
        self.epochs = epochs
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    def _check_parameters(self) -> None:
        require(0 <= self.alpha <= 1, "alpha", self.alpha, "a ratio from 0 to 1")
        require(0 <= self.text_alpha <= 1, "text_alpha", self.text_alpha, "a ratio from 0 to 1")
        require(self.hidden is None or self.hidden >= 1, "hidden", self.hidden, "at least 1, or None for D // 4")
        require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        require(self.epochs is None or self.epochs >= 0, "epochs", self.epochs, "0 or more, or None")

    def _width(self, dim: int) -> int:
        return self.hidden if self.hidden is not None else max(1, dim // 4)

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return 2 * dim * self._width(dim) * (2 if self.text_alpha else 1)

    def _fit(self, support: Support) -> None:
        device = resolve_device(self.device)
        generator = torch.Generator().manual_seed(self.seed)  # on the CPU: the same draws whatever the device
        dim = support.views.shape[2]
        image = Bottleneck.initial(dim, self._width(dim), self.alpha, generator).to(device)
        said = None
        if self.text_alpha:
            said = Bottleneck.initial(dim, self._width(dim), self.text_alpha, generator).to(device)
        with threads_for(self.batch_size * dim):
            batches, epochs = self._batches(support, generator, device)
            losses = train(
                batches,
                torch.from_numpy(support.text).to(device),
                image,
                said,
                rates=warmup_cosine(self.lr, epochs, len(batches) // max(epochs, 1)),
                logit_scale=self.logit_scale,
                momentum=self.momentum,
                weight_decay=self.weight_decay,
            )
        self.losses_ = losses.cpu().numpy()
        self.w1_, self.w2_ = image.w1.cpu().numpy(), image.w2.cpu().numpy()
        if said is not None:
            self.text_w1_, self.text_w2_ = said.w1.cpu().numpy(), said.w2.cpu().numpy()

    def for_classes(self, text: Any) -> Self:
        """The same adapters before other classes' text: neither knows which classes it was trained on."""
        return self._with_text(text)

    def _batches(self, support: Support, generator: torch.Generator, device: torch.device) -> tuple[list[Batch], int]:
        """Every step's batch, and the number of epochs."""
        epochs = default_epochs(support.shots) if self.epochs is None else self.epochs
        views = torch.from_numpy(support.unit_views).to(device)
        labels = torch.from_numpy(support.labels).to(device)
        plan = epoch_batches(len(labels), self.batch_size, epochs, generator, drop_last=True)
        steps = [rows for epoch in plan for rows in epoch]
        drawn = torch.randint(views.shape[1], (len(steps),), generator=generator).tolist()
        on_device = [rows.to(device) for rows in steps]
        return [Batch(views[r, v], labels[r]) for r, v in zip(on_device, drawn, strict=True)], epochs

    def _logits(self, features: Floats) -> Floats:
        # With a ratio of 0 there is nothing to blend, nor to normalise again: zero-shot, to the last bit.
        text, rows = self.text_, features
        if self.text_alpha:
            text = self._adapt(text, self.text_w1_, self.text_w2_, self.text_alpha)
        if self.alpha:
            rows = self._adapt(rows, self.w1_, self.w2_, self.alpha)
        return cosine_logits(rows, text, self.logit_scale)

    def _adapt(self, rows: Floats, w1: Floats, w2: Floats, ratio: float) -> Floats:
        device = resolve_device(self.device)
        adapter = Bottleneck(torch.from_numpy(w1).to(device), torch.from_numpy(w2).to(device), ratio)
        return np.asarray(adapter.forward(torch.from_numpy(rows).to(device)).unit.cpu())

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Train once for every alpha of `ALPHAS` and count right answers.

        Without held-out rows, shots are held out of the support in `FOLDS` folds; the counts of all folds add up. Of
        equally good ratios the middle one is taken (the lower of two middles): the edges of a plateau are the less
        certain choice.
        """
        splits = held_out_splits(support, rows, FOLDS)
        right = [sum(self._right(alpha, *split) for split in splits) for alpha in ALPHAS]
        best = [alpha for alpha, count in zip(ALPHAS, right, strict=True) if count == max(right)]
        head.set_params(alpha=best[(len(best) - 1) // 2])
        return head

    def _right(self, alpha: float, support: Support, rows: Rows) -> int:
        """How many rows a training with this ratio gets right."""
        head = type(self)(**{**self.get_params(), "alpha": alpha})
        # A ratio of 0 leaves the image feature as it is: only a text adapter would need training.
        if not alpha and not head.text_alpha:
            head.set_params(epochs=0)
        logits = head._fit_support(support)._logits(rows.features)
        return int((logits.argmax(1) == rows.labels).sum())

    def _arrays(self) -> dict[str, NDArray[Any]]:
        names = ["text_", "w1_", "w2_", *(["text_w1_", "text_w2_"] if self.text_alpha else [])]
        return {name: getattr(self, name) for name in names}
