"""The Gaussian discriminant of every image by all others: exact leave-one-out, without a single refit.

With weights w_i, class weights m_c, means mu_c (C, D), the scatter S (D, D) of the rows about their class means, and
P = W (S + r I)^-1, where W = sum w and the ridge r are constants, the logit of class c for row x is

    -1/2 (x - mu_c)^T P (x - mu_c).

Leaving row i of class y out, with d = x_i - mu_y and k = w_i m_y / (m_y - w_i),

    mu_y  becomes  x_i - d m_y / (m_y - w_i),        S  becomes  S - k d d^T,
    P     becomes  P + (k / W) P d d^T P / (1 - (k / W) d^T P d)        (Sherman and Morrison).

In the basis in which S is diagonal P is too, for every ridge. A row of weight 0, as one without a label, is left out as
it is. The only row of its class leaves no mean: there it is the mean of all other rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adapters.arrays import Doubles, Floats, Ints

BLOCK = 1 << 21
"""Logits that are in double precision at once."""
LEAST = 1e-12


class LeftOut:
    """The discriminant of weighted rows.

    Args:
        features: unit rows (N, D).
        labels: class codes (N,); of rows with weight 0 any.
        weights: (N,), each at least 0.
        classes: C.
    """

    def __init__(self, features: Floats, labels: Ints, weights: Doubles, classes: int) -> None:
        dim = features.shape[1]
        self.labels, self.weights = labels, weights
        self.total = float(weights.sum())
        self.of_class = np.bincount(labels, weights=weights, minlength=classes)
        sums, scatter = np.zeros((classes, dim)), np.zeros((dim, dim))
        step = max(1, BLOCK // dim)
        blocks = [slice(start, start + step) for start in range(0, len(features), step)]
        for rows in blocks:
            weighted = features[rows].astype(np.float64) * weights[rows, None]
            np.add.at(sums, labels[rows], weighted)
        overall = sums.sum(0) / max(self.total, LEAST)
        known = self.of_class > LEAST
        means = np.where(known[:, None], sums / np.where(known, self.of_class, 1.0)[:, None], overall)
        for rows in blocks:
            away = features[rows] - means[labels[rows]]
            scatter += (away * weights[rows, None]).T @ away
        self.spread, basis = np.linalg.eigh(scatter)
        self.spread = np.maximum(self.spread, 0)
        self.mean_spread = max(float(self.spread.mean()), LEAST)
        self.means, self.overall = means @ basis, overall @ basis
        self.features = np.concatenate([(features[rows] @ basis).astype(np.float32) for rows in blocks])
        alone = np.bincount(labels[weights > 0], minlength=classes) == 1
        self.alone = alone[labels] & (weights > 0)

    def logits(self, ridge: float, rows: Ints | None = None) -> Floats:
        """Logits (R, C) of some rows (None: all), each by all others; the ridge in units of the mean spread."""
        every = np.arange(len(self.labels)) if rows is None else rows
        precision = self.total / (self.spread + ridge * self.mean_spread)
        toward = self.means * precision
        length = np.einsum("cd,cd->c", self.means, toward)
        step = max(1, BLOCK // max(self.means.shape))
        parts = [every[start : start + step] for start in range(0, len(every), step)]
        found = [self._logits(part, precision, toward, length) for part in parts]
        return np.concatenate(found) if found else np.empty((0, len(self.means)), np.float32)

    def _logits(self, rows: Ints, precision: Doubles, toward: Doubles, length: Doubles) -> Floats:
        x, y, w = self.features[rows].astype(np.float64), self.labels[rows], self.weights[rows]
        at, rest = np.arange(len(rows)), self.of_class[y] - w
        alone = self.alone[rows]
        w = np.where(alone, 0.0, w)
        rest = np.where(alone | (rest <= LEAST), 1.0, rest)
        beyond = np.where(w > 0, self.of_class[y] / rest, 1.0)  # of d, how far x is from the mean without it
        k = w * beyond / self.total
        away = x - self.means[y]
        along = away * precision
        reach = np.einsum("nd,nd->n", along, away)
        square = np.einsum("nd,d,nd->n", x, precision, x)[:, None] - 2 * x @ toward.T + length
        cross = np.einsum("nd,nd->n", along, x)[:, None] - along @ self.means.T
        square[at, y], cross[at, y] = reach * beyond**2, reach * beyond
        if alone.any():
            own = self.weights[rows[alone]][:, None]
            others = (self.total * self.overall - own * x[alone]) / max(self.total - float(own.max()), LEAST)
            square[at[alone], y[alone]] = np.square(x[alone] - others) @ precision
        square += (k / np.maximum(1 - k * reach, LEAST))[:, None] * cross**2
        # A row that lies on a mean may be a little less than nothing away from it, by rounding.
        return np.asarray(-0.5 * np.maximum(square, 0), dtype=np.float32)


def nearest(logits: Floats) -> npt.NDArray[np.float64]:
    """Mahalanobis distance (N,) of each row to the nearest class."""
    return np.asarray(np.sqrt(-2.0 * logits.max(1).astype(np.float64)))
