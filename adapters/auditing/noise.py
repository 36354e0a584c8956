"""What each image is, from zero-shot and the discriminant, when some of the labels it was learned from are wrong.

    p_i = softmax(a zero-shot_i + b discriminant_i)            of the true class t
    P(y_i | x_i) = sum_t p_it Q_ty                             of the label y that was given

Q (C, C) says how often an image of class t is labelled y. The scales a, b and Q together make the labels most likely,
by expectation maximisation: Q is the expected share of labels, drawn towards a common share of wrong ones, evenly
spread, by a prior worth `PRIOR` images a class. So the scales are calibrated although some labels are wrong, and labels
that are often taken for each other are told from right ones. The wrong label of an image has the probability

    P(t != y | x, y) = 1 - p_y Q_yy / sum_t p_t Q_ty.

The noise model is that of Natarajan et al., Learning with Noisy Labels (NeurIPS 2013), estimated as by Dawid and Skene
(1979) with p in the place of other annotators.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from adapters.arrays import Doubles, Floats, Ints
from adapters.metrics import log_softmax

PRIOR = 20.0
"""Images of each class that the prior of its row of Q is worth."""
FIRST_GUESS = 0.02
"""Share of wrong labels to begin with."""
ROUNDS = 10
SEEN = 1 << 19
"""Logits that the scales are fitted on at most; of more, those of rows drawn at random."""
BLOCK = 1 << 22


@dataclass(frozen=True, eq=False)
class Understood:
    """What images are.

    Attributes:
        scales: a and b.
        confusion: Q (C, C): share of the images of a class (row) that are labelled so (column).
        loss: mean negative log-likelihood of the labels.
    """

    scales: Doubles
    confusion: Doubles
    loss: float

    def posterior(self, zero_shot: Floats, learned: Floats, labels: Ints) -> Doubles:
        """Probabilities (R, C) of the true class of rows, given their labels too."""
        joint = np.exp(log_softmax(self.mixed(zero_shot, learned))) * self.confusion.T[labels]
        return np.asarray(joint / joint.sum(1, keepdims=True))

    def odds(self, zero_shot: Floats, learned: Floats, labels: Ints) -> tuple[Doubles, Doubles, Ints]:
        """Of rows the log-odds (R,) that the label is wrong, with Q and without, and the most probable other class.

        Without Q all wrong labels are alike: log p of the most probable other class less log p of the label.
        """
        log_p = log_softmax(self.mixed(zero_shot, learned))
        at = np.arange(len(labels)), labels
        joint = log_p + np.log(self.confusion.T[labels])
        of_label, own = joint[at], log_p[at]
        joint[at] = log_p[at] = -np.inf
        other = joint.argmax(1)
        most = joint.max(1)
        of_others = most + np.log(np.exp(joint - most[:, None]).sum(1))
        return of_others - of_label, log_p.max(1) - own, other

    def mixed(self, zero_shot: Floats, learned: Floats) -> Doubles:
        """Logits (R, C) of the true class, without the label."""
        return np.asarray(self.scales[0] * zero_shot + self.scales[1] * learned)


def understand(zero_shot: Floats, learned: Floats, labels: Ints, *, rounds: int = ROUNDS) -> Understood:
    """Fit scales and confusions.

    Args:
        zero_shot: logits (N, C).
        learned: out-of-sample logits (N, C) of the same rows.
        labels: class codes (N,).
        rounds: of expectation maximisation; 0 fits the scales alone, with the first guess of Q.
    """
    classes = zero_shot.shape[1]
    confusion = even(np.full(classes, FIRST_GUESS))
    seen = some_rows(len(labels), classes)
    shown = zero_shot[seen].astype(np.float64), learned[seen].astype(np.float64), labels[seen]
    logs, loss = _fit_scales(*shown, confusion, np.log([0.5, 0.1]))
    found = Understood(np.exp(logs), confusion, loss)
    step = max(1, BLOCK // classes)
    for _ in range(rounds):
        counts = np.zeros((classes, classes))  # of true class by label
        for start in range(0, len(labels), step):
            rows = slice(start, start + step)
            posterior = found.posterior(zero_shot[rows], learned[rows], labels[rows])
            order = np.argsort(labels[rows], kind="stable")
            present, first = np.unique(labels[rows][order], return_index=True)
            counts[:, present] += np.add.reduceat(posterior[order], first).T
        wrong = max(1 - float(np.trace(counts)) / len(labels), 1 / (10 * len(labels)))
        confusion = (counts + PRIOR * even(np.full(classes, wrong))) / (counts.sum(1, keepdims=True) + PRIOR)
        logs, loss = _fit_scales(*shown, confusion, np.log(found.scales))
        found = Understood(np.exp(logs), confusion, loss)
    return found


def even(wrong: Doubles) -> Doubles:
    """Confusions (C, C) with a share (C,) of wrong labels for each class, the same of every other class."""
    classes = len(wrong)
    confusion = np.tile((wrong / max(classes - 1, 1))[:, None], (1, classes))
    np.fill_diagonal(confusion, 1 - wrong)
    return confusion


def some_rows(rows: int, classes: int) -> Ints:
    """So many rows, in order, that their logits are `SEEN` at most."""
    most = max(1, SEEN // classes)
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def _fit_scales(
    zero_shot: Doubles, learned: Doubles, labels: Ints, confusion: Doubles, start: Doubles
) -> tuple[Doubles, float]:
    """Logarithms of the scales that make the labels most likely, and the mean negative log-likelihood."""
    of_label = confusion.T[labels]

    def loss(logs: Doubles) -> tuple[float, Doubles]:
        scales = np.exp(logs)
        log_p = log_softmax(scales[0] * zero_shot + scales[1] * learned)
        p = np.exp(log_p)
        joint = p * of_label
        likelihood = np.maximum(joint.sum(1, keepdims=True), 1e-300)
        pull = joint / likelihood - p  # of the posterior less p: the slope by the logits
        slope = np.array([np.vdot(pull, logits) for logits in (zero_shot, learned)]) / len(labels)
        return float(-np.log(likelihood).mean()), -slope * scales

    bounds = [(-9.0, 3.0)] * 2
    found = minimize(loss, np.clip(start, -9, 3), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 12})
    return np.asarray(found.x), float(found.fun)
