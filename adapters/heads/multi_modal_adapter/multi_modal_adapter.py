"""Multi-Modal Adapter: masked attention over all class texts and the image adapts both.

For every image the tokens are the C class texts and the image, all unit rows x (D,):

    h = W_1 (W_0 x + b_0) + b_1          down to the attention's width d, nothing in between
    o = multi-head attention of h over the C + 1 tokens
    a = n(U GELU(V o + c) + e)           up again;  n(x) = x / |x|
    f' = n(alpha a_f + (1 - alpha) f),   t'_c = n(alpha a_c + (1 - alpha) t_c),   logits_c = s * f' . t'_c

so that t' depends on the image. Two masks, between which the logits differ by several units:

    additive  the released code: 1 is added to the attention logits of image-text pairs; nothing is masked
    cross     the paper: a token attends only to tokens of the other modality

Source: Seputis et al., Multi-Modal Adapter for Vision-Language Models (arXiv 2409.02958), and its released code (alpha
0.2, width 128, 4 heads, hidden 32, Adam, lr 5e-3, coupled weight decay 1e-4, batch 256).

`adapters.heads.multi_modal_adapter.attention` computes this without attention over C + 1 tokens for every image.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapters.arrays import Floats
from adapters.device import resolve_device
from adapters.head import Head, cosine_logits
from adapters.heads.multi_modal_adapter.attention import BLOCK, TextTokens, adapted_logits, initial_weights, train
from adapters.heads.traced import traced_cosines
from adapters.parameters import AtLeast1, NotNegative, Ratio, Tried, require
from adapters.selection.refit import choose_by_refit
from adapters.support import Rows, Support
from adapters.training.loop import epoch_batches, epochs_for_steps, threads_for

Mask = Literal["additive", "cross"]
Rate = Annotated[NotNegative, Tried(1e-4, 1e-3, 1e-2)]
"""Tried are those of the authors' search."""


class MultiModalAdapter(Head):
    """Multi-Modal Adapter with the released recipe as defaults, except for when it stops.

    The authors train up to 200 epochs and stop early on 16 further labelled images a class. No further labels are used
    here, and the last step is kept.

    Args:
        mask: additive (released code: 1 is added to image-text pairs, nothing is masked) or cross (paper: a token
            attends only to the other modality).
        adapt_text: false is the image-only variant: the same attention, the text left as it is.
        alpha: residual ratio of both modalities; 0 is zero-shot.
        width: width d of the attention.
        hidden: width of the layers that lead to it and from it.
        heads: attention heads; they divide the width.
        lr: learning rate, constant.
        weight_decay: weight decay (coupled).
        batch_size: rows of a step.
        epochs: passes over the support; None: as few as make 200 steps, but no more than 200, the authors' limit.
        logit_scale: the encoder's scale s.
        seed: seed of initial weights, shuffles and views.
        device: auto, cpu, cuda or mps.

    Attributes:
        weights_: every layer's weight and bias by name; see `modal_attention.initial_weights`.
        losses_: training loss of every step; not saved.
    """

    method: ClassVar[str] = "mma"
    source: ClassVar[str] = "Multi-Modal Adapter, arXiv 2409.02958"
    trains: ClassVar[str] = "attention over the class texts and the image"
    needs: ClassVar[str] = "text; views used if there"
    try_when: ClassVar[str] = "classes that were not trained on have to be recognised too"

    weights_: dict[str, Floats]

    def __init__(
        self,
        *,
        mask: Mask = "additive",
        adapt_text: bool = True,
        alpha: Ratio = 0.2,
        width: AtLeast1 = 128,
        hidden: AtLeast1 = 32,
        heads: AtLeast1 = 4,
        lr: Rate = 5e-3,
        weight_decay: NotNegative = 1e-4,
        batch_size: AtLeast1 = 256,
        epochs: AtLeast1 | None = None,
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.mask = mask
        self.adapt_text = adapt_text
        self.alpha = alpha
        self.width = width
        self.hidden = hidden
        self.heads = heads
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    def _check_parameters(self) -> None:
        super()._check_parameters()
        require(self.width % self.heads == 0, "width", self.width, f"a positive multiple of heads={self.heads}")

    def _count(self, classes: int, dim: int, rows: int) -> int:
        hidden, width = self.hidden, self.width
        down = (dim + 1) * hidden + (hidden + 1) * width
        return down + 4 * width * (width + 1) + (width + 1) * hidden + (hidden + 1) * dim

    def _fit(self, support: Support) -> None:
        device = resolve_device(self.device)
        generator = torch.Generator().manual_seed(self.seed)  # on the CPU: the same draws whatever the device
        drawn = initial_weights(support.text.shape[1], self.hidden, self.width, generator)
        weights = {name: weight.to(device) for name, weight in drawn.items()}
        views, labels, text = (
            torch.from_numpy(a).to(device) for a in (support.unit_views, support.labels, support.text)
        )
        plan = epoch_batches(len(labels), self.batch_size, self._epochs(len(labels)), generator, drop_last=False)
        steps = [rows.to(device) for epoch in plan for rows in epoch]
        drawn_views = torch.randint(views.shape[1], (len(steps),), generator=generator).tolist()
        with threads_for(min(BLOCK, self.batch_size * len(text) * self.hidden)):
            losses = train(
                weights,
                text,
                [(views[rows, view], labels[rows]) for rows, view in zip(steps, drawn_views, strict=True)],
                mask=self.mask,
                heads=self.heads,
                alpha=self.alpha,
                adapt_text=self.adapt_text,
                lr=self.lr,
                weight_decay=self.weight_decay,
                logit_scale=self.logit_scale,
            )
        self.losses_ = losses.numpy()
        self.weights_ = {name: weight.cpu().numpy() for name, weight in weights.items()}

    def for_classes(self, text: Any) -> Self:
        """The same attention over other classes' text: it does not know which classes it was trained on."""
        return self._with_text(text)

    def _epochs(self, rows: int) -> int:
        return epochs_for_steps(rows, self.batch_size) if self.epochs is None else self.epochs

    def _logits(self, features: Floats) -> Floats:
        if not self.alpha:  # nothing to blend, nor to normalise again: zero-shot, to the last bit
            return cosine_logits(features, self.text_, self.logit_scale)
        device = resolve_device(self.device)
        weights = {name: torch.from_numpy(weight).to(device) for name, weight in self.weights_.items()}
        wide = len(self.text_) * self.hidden
        with torch.inference_mode(), threads_for(min(BLOCK, len(features) * wide)):
            said = TextTokens.of(weights, torch.from_numpy(self.text_).to(device), self.heads)
            blocks = [
                self._adapted_logits(weights, block.to(device), said).cpu()
                for block in torch.split(torch.from_numpy(features), max(1, BLOCK // wide))
            ]
        return np.asarray(torch.cat(blocks))

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        if not self.alpha:
            return traced_cosines(features, self.text_, self.logit_scale)
        weights = {name: torch.from_numpy(weight) for name, weight in self.weights_.items()}
        said = TextTokens.of(weights, torch.from_numpy(self.text_), self.heads)
        return self._adapted_logits(weights, features, said)

    def _adapted_logits(self, weights: dict[str, Tensor], features: Tensor, said: TextTokens) -> Tensor:
        return adapted_logits(
            weights,
            features,
            said,
            mask=self.mask,
            heads=self.heads,
            alpha=self.alpha,
            adapt_text=self.adapt_text,
            logit_scale=self.logit_scale,
        )

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Try the authors' learning rates; see `choose_by_refit`."""
        choose_by_refit(head, support, rows, "lr")
        return head

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"text_": self.text_, **self.weights_}

    def _restore(self, arrays: dict[str, NDArray[Any]], classes: NDArray[Any]) -> None:
        super()._restore({"text_": arrays.pop("text_")}, classes)
        self.weights_ = arrays
