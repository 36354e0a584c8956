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

Where only the shots may choose, alpha is chosen on all of them, left out in folds, by right answers; or, with
`held="one-shot"`, on one shot of every class, by cross-entropy at fixed weights that have seen the others: the idea of
HOSO (Vorster et al., arXiv 2603.04341), a hold-out of one shot and two separate objectives. There alpha is learnt
beside the adapter, which never sees the held shots; here alpha is the best of a grid after the training, and the
adapter is then trained on all shots. NOT VERIFIED: how HOSO parameterises, starts and updates alpha; its repository
holds no code.

Without biases A(c f) = c A(f) for c > 0, so the logits, and with them the training, are the same for raw and for unit
features; unit features are used here.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapters.arrays import Floats, unit
from adapters.chosen_alpha import AlphaChoice, ChosenOn
from adapters.device import resolve_device
from adapters.errors import AdapterError
from adapters.head import cosine_logits
from adapters.heads.clip_adapter.bottleneck import adapt, blend, initial
from adapters.heads.clip_adapter.stack import AdapterStack, Plan
from adapters.metrics import log_softmax
from adapters.parameters import AtLeast1, BelowOne, NotNegative, Ratio, Tried, parameters_of
from adapters.selection.alpha_choice import NOTHING_BETTER
from adapters.selection.exact_alpha import AlphaPath, alpha_path, alpha_path_blocks
from adapters.selection.held_out import held_out_splits
from adapters.support import Rows, Support
from adapters.training.balance import Balanced
from adapters.training.loop import default_epochs, epoch_batches, warmup_cosine
from adapters.training.stack_parts import steps_of
from adapters.training.stacking import fit_supports
from adapters.training.trained_head import TrainedHead

TrainRatio = Annotated[Ratio, Tried(0.2, 0.4, 0.6, 0.8, 1.0)]
"""Tried, where there are held-out rows, are those of the paper's ablation."""
Held = Literal["folds", "one-shot"]
ALPHAS = np.linspace(0, 1, 101)
"""Of which the best is taken with `held="one-shot"`."""
FOLDS = 4
"""Folds over the shots when `tuned` has only the support: a training for every fold is the cost."""


class ClipAdapter(TrainedHead[Plan]):
    """CLIP-Adapter, trained by the released recipe at a learning rate for cached features.

    Every epoch is a new shuffle, of which an incomplete last batch is left out, as the released framework does; a
    support smaller than a batch is one batch. With augmented views every step draws one view.

    Args:
        alpha: residual ratio of the image adapter; 0 is zero-shot.
        train_alpha: residual ratio of the image adapter while it is trained; None: `alpha`.
        text_alpha: residual ratio of the text adapter; 0 trains none.
        held: shots that choose alpha where nothing else may: folds (all in turn, by right answers) or one-shot (one of
            every class that has two, by cross-entropy). Held-out rows, where there are any, choose in their place.
        hidden: width of the bottleneck; None: D // 4.
        lr: learning rate after the warm-up; 0.002 in the released code.
        weight_decay: weight decay (coupled).
        momentum: momentum.
        batch_size: rows of a step.
        epochs: passes over the support; None: 50, 100 or 200 for 1, 2-4 or more shots.
        balance: of classes with unequal numbers of shots, in the loss: none, loss or logit (`training.balance`).
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
    try_when: ClassVar[str] = "a good zero-shot and a few shots; small and quick"

    def __init__(
        self,
        *,
        alpha: Ratio = 0.2,
        train_alpha: TrainRatio | None = None,
        text_alpha: Ratio = 0.0,
        held: Held = "folds",
        hidden: AtLeast1 | None = None,
        lr: NotNegative = 0.1,
        weight_decay: NotNegative = 5e-4,
        momentum: BelowOne = 0.9,
        batch_size: AtLeast1 = 32,
        epochs: AtLeast1 | None = None,
        balance: Balanced = "logit",
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.train_alpha = train_alpha
        self.text_alpha = text_alpha
        self.held = held
        self.hidden = hidden
        self.lr = lr
        self.weight_decay = weight_decay
        self.momentum = momentum
        self.batch_size = batch_size
        self.epochs = epochs
        self.balance = balance
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    def _width(self, dim: int) -> int:
        return self.hidden if self.hidden is not None else max(1, dim // 4)

    def _count(self, classes: int, dim: int, rows: int) -> int:
        hidden = max(1, dim // 4) if self.hidden is None else self.hidden  # `_width`, which cannot be called here
        return 2 * dim * hidden * (2 if self.text_alpha else 1)

    def for_classes(self, text: Any) -> Self:
        """The same adapters before other classes' text: neither knows which classes it was trained on."""
        return self._with_text(text)

    def _train_ratio(self) -> float:
        return self.alpha if self.train_alpha is None else self.train_alpha

    def _epochs(self, support: Support) -> int:
        return default_epochs(support.shots) if self.epochs is None else self.epochs

    def _plan(self, support: Support) -> Plan:
        generator = torch.Generator().manual_seed(self.seed)
        (images, views, dim), epochs = support.views.shape, self._epochs(support)
        image = initial(dim, self._width(dim), generator)
        text = initial(dim, self._width(dim), generator) if self.text_alpha else None
        plan = epoch_batches(images, self.batch_size, epochs, generator, drop_last=True)
        steps = steps_of(plan, min(self.batch_size, images))
        drawn = torch.randint(views, (len(steps),), generator=generator)
        rates = warmup_cosine(self.lr, epochs, len(plan[0]) if plan else 0)
        return Plan(
            support,
            image,
            text,
            steps * views + drawn[:, None],
            rates,
            alpha=self._train_ratio(),
            text_alpha=self.text_alpha,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            logit_scale=self.logit_scale,
        )

    def _stack_key(self, support: Support) -> Hashable:
        dim = support.text.shape[1]
        shapes = support.views.shape, support.text.shape, self._width(dim), bool(self.text_alpha)
        return *shapes, self.batch_size, self._epochs(support), self.momentum

    def _state_bytes(self, support: Support) -> int:
        classes, dim = support.text.shape
        return 4 * 2 * self._count(classes, dim, len(support.views))

    @staticmethod
    def _stack(plans: Sequence[Plan], device: torch.device) -> AdapterStack:
        return AdapterStack(plans, device)

    def _logits(self, features: Floats) -> Floats:
        # With a ratio of 0 there is nothing to blend, nor to normalise again: zero-shot, to the last bit.
        rows = self._blend(features, self.w1_, self.w2_, self.alpha) if self.alpha else features
        return cosine_logits(rows, self._adapted_text(), self.logit_scale)

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        text = torch.from_numpy(self.text_)
        if self.text_alpha:
            text = blend(text, torch.from_numpy(self.text_w1_), torch.from_numpy(self.text_w2_), self.text_alpha)
        rows = features
        if self.alpha:
            rows = blend(rows, torch.from_numpy(self.w1_), torch.from_numpy(self.w2_), self.alpha)
        return self.logit_scale * (rows @ text.T)

    def _adapted_text(self) -> Floats:
        """Class text (C, D), blended with what was learned of it where that was asked for."""
        if not self.text_alpha:
            return self.text_
        return self._blend(self.text_, self.text_w1_, self.text_w2_, self.text_alpha)

    def _blend(self, rows: Floats, w1: Floats, w2: Floats, ratio: float) -> Floats:
        device = resolve_device(self.device)
        x, first, second = (torch.from_numpy(array).to(device) for array in (rows, w1, w2))
        return np.asarray(blend(x, first, second, ratio).cpu())

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Train, all trainings together, and choose the ratio of prediction from the exact path at fixed weights.

        On held-out rows the heads that are compared are those that `fit` will train: one for every ratio that is tried.
        With only the support, heads are trained on all but the held-out shots of each fold, at the ratio at hand: which
        ratio is best to train at was found not to carry over from fewer shots (docs/methods.md).
        """
        if rows is None and self.held == "one-shot":
            return self._held_one_shot(head, support)
        splits = held_out_splits(support, rows, FOLDS)
        tried = parameters_of(type(self))["train_alpha"].tried
        ratios = tried if rows is not None else (self._train_ratio(),)
        trained = [type(self)(**{**self.get_params(), "train_alpha": ratio}) for ratio in ratios for _ in splits]
        for _ in fit_supports(trained, [kept for _ in ratios for kept, _ in splits]):
            pass
        paths = {}
        for i, ratio in enumerate(ratios):
            folds = zip(trained[i * len(splits) : (i + 1) * len(splits)], splits, strict=True)
            blocks = ((*each._finite_line(out.features), out.labels) for each, (_, out) in folds)
            paths[ratio] = alpha_path_blocks(blocks, lo=0.0, hi=1.0)
        head._choose(paths, "support" if rows is None else "held-out", self._train_ratio())
        return head

    def _held_one_shot(self, head: Self, support: Support) -> Self:
        """Set the alpha of least cross-entropy on one shot of every class, of a head that was trained on the others."""
        kept, out = held_out_splits(support, None, support.shots)[0]
        trained = type(self)(**{**self.get_params(), "train_alpha": self._train_ratio()})._fit_support(kept)
        base, delta = trained._finite_line(out.features)
        losses = []
        for ratio in ALPHAS:
            trained.alpha = float(ratio)
            log_p = log_softmax(trained._logits(out.features))
            losses.append(-log_p[np.arange(len(out.labels)), out.labels].mean())
        alpha = float(ALPHAS[np.argmin(losses)])
        path = alpha_path(base, delta, out.labels, lo=0.0, hi=1.0)
        lo, hi = path.piece(alpha)
        head.alpha_choice_ = AlphaChoice(alpha, lo, hi, path.accuracy(alpha), path.rows, "support")
        head.set_params(alpha=alpha, train_alpha=self._train_ratio())
        return head

    def _choose(self, paths: Mapping[float, AlphaPath], chosen_on: ChosenOn, given: float) -> None:
        """Set the best pair of a ratio to train at and one to predict at.

        Of equally good pairs that whose ratios are closest to each other, then that which trains closest to the given
        ratio: few rows leave long plateaus, and what is far from the training is the less certain choice.
        """
        most = max(path.best.accuracy for path in paths.values())
        if all(path.accuracies.min() == most for path in paths.values()):
            self.selection_note_ = NOTHING_BETTER
            return
        best = []
        for ratio, path in paths.items():
            for lo, hi in path.best_intervals.tolist() if path.best.accuracy == most else []:
                alpha = min(max(ratio, lo), hi)
                best.append((abs(alpha - ratio), abs(ratio - given), ratio, alpha, lo, hi))
        _, _, ratio, alpha, lo, hi = min(best)
        rows = next(iter(paths.values())).rows
        self.alpha_choice_ = AlphaChoice(alpha, lo, hi, most, rows, chosen_on)
        self.set_params(alpha=alpha, train_alpha=ratio)

    def parts(self, X: Any) -> tuple[Floats, Floats]:
        """Base and delta, both (N, C), of features (N, D), at fixed weights: what `adapters.alpha_path` takes.

        The logits at any ratio of prediction alpha from 0 to 1 are base + alpha * delta, but for a positive factor of
        each row, the norm of the blended feature, which no `argmax` sees. They are not finite where training diverged.
        """
        return self._line(unit(self._features(X)))

    def _line(self, features: Floats) -> tuple[Floats, Floats]:
        text = self._adapted_text()
        adapted = adapt(*(torch.from_numpy(array) for array in (features, self.w1_, self.w2_))).numpy()
        with np.errstate(over="ignore", invalid="ignore"):
            return features @ text.T, (adapted - features) @ text.T

    def _finite_line(self, features: Floats) -> tuple[Floats, Floats]:
        base, delta = self._line(features)
        if not (np.isfinite(base).all() and np.isfinite(delta).all()):
            raise AdapterError(f"clip diverged at lr={self.lr:g}; type a smaller --lr")
        return base, delta

    def _arrays(self) -> dict[str, NDArray[Any]]:
        names = ["text_", "w1_", "w2_", *(["text_w1_", "text_w2_"] if self.text_alpha else [])]
        return {name: getattr(self, name) for name in names}
