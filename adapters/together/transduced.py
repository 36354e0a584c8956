"""Transduction: unlabelled images as a mixture of one Gaussian a class that is anchored at the class text.

With unit images f_i (N, D), class rows t_c (C, D) and probabilities p (N, C) of a head, a symmetric affinity A (N, N),
and z (N, C) the classes that are looked for, what is made as small as possible is

    J(z, mu, S) =   sum_ic z_ic (log z_ic - log p_ic)           near the head's probabilities
                  - r sum_ic z_ic log N(f_i; mu_c, S)           each class a Gaussian, one diagonal S for all
                  - w/2 sum_ij A_ij z_i z_j                     neighbours alike
                  + r a sum_c KL(N(t_c, S_0) || N(mu_c, S))     the anchor

with S_0 the diagonal of sum_ic p_ic (f_i - t_c)(f_i - t_c)^T / N. One block after the other, each to its minimum:

    z_i  ~  p_i N(f_i; mu, S)^r exp(w sum_j A_ij z_j)           images that are no neighbours at once
    mu_c =  (sum_i z_ic f_i + a t_c) / (n_c + a)                n_c = sum_i z_ic
    S    =  (sum_ic z_ic (f_i - mu_c)^2 + a sum_c (S_0 + (t_c - mu_c)^2)) / (N + a C)

so that J never rises. A class that few images fall to stays at its text. The mixture, its Kullback-Leibler term and the
Laplacian of 3 neighbours are of TransCLIP (Zanella, Gerin and Ben Ayed, arXiv 2406.01837), the anchor is that of StatA
(Zanella, Fuchs, De Vleeschouwer and Ben Ayed, arXiv 2501.03729). Not theirs: updates are the minima above, where
StatA's code normalises mu and keeps a covariance of each class without its determinant. a = 1 and r = 1/50 are of their
code; w = 1 is TransCLIP's equation, where their code has a third of it. Written from the equations alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from adapters.arrays import Doubles, Floats, Ints, unit
from adapters.metrics import log_softmax, softmax
from adapters.together.adjusted import TRANSDUCTIVE, Adjusted

ANCHOR = 1.0
"""a: as many images as the text counts for."""
LIKELIHOOD = 1 / 50
"""r."""
PULL = 1.0
"""w."""
NEIGHBOURS = 3
ROUNDS = 10
COSINES = 1 << 24
"""Of images to images that are in memory at once."""


class Mixture:
    """The mixture and its blocks, in double precision.

    Args:
        images: unit rows f (N, D).
        text: unit rows t (C, D).
        logits: of the head (N, C).
        anchor: a.
        likelihood: r.
        pull: w.
        neighbours: of an image; 0: none pull.

    Attributes:
        z, mu, spread: the blocks (N, C), (C, D) and the diagonal of S (D,), at their start.
    """

    def __init__(
        self,
        images: Floats,
        text: Floats,
        logits: Floats,
        *,
        anchor: float = ANCHOR,
        likelihood: float = LIKELIHOOD,
        pull: float = PULL,
        neighbours: int = NEIGHBOURS,
    ) -> None:
        self.images, self.text = images.astype(np.float64), text.astype(np.float64)
        self.log_p = log_softmax(logits)
        self.anchor, self.likelihood, self.pull = anchor, likelihood, pull
        self.affinity = affinity(images, neighbours)
        self.apart = list(independent(self.affinity))
        self.z, self.mu = np.exp(self.log_p), self.text
        self.first_spread = self.spread = np.maximum(self._scatter() / len(self.images), np.finfo(np.float64).tiny)

    def objective(self) -> float:
        """J, without what no block changes."""
        z = self.z
        entropy = (z * np.where(z > 0, np.log(np.where(z > 0, z, 1)), 0)).sum() - (z * self.log_p).sum()
        likelihood = -0.5 * ((self._scatter() / self.spread).sum() + z.sum() * np.log(self.spread).sum())
        pulled = 0.5 * float((z * (self.affinity @ z)).sum())
        away = (self.text - self.mu) ** 2
        ratio = self.first_spread / self.spread
        anchored = 0.5 * float((ratio - 1 - np.log(ratio)).sum() * len(self.text) + (away / self.spread).sum())
        return float(entropy - self.likelihood * (likelihood - self.anchor * anchored) - self.pull * pulled)

    def update_z(self) -> None:
        """One pass over all images."""
        alone = self.log_p + self.likelihood * self.log_density()
        self.z = self.z.copy()
        for rows in self.apart:
            self.z[rows] = softmax(alone[rows] + self.pull * (self.affinity[rows] @ self.z))

    def update_mu(self) -> None:
        """The means."""
        count = self.z.sum(0)[:, None]
        self.mu = (self.z.T @ self.images + self.anchor * self.text) / (count + self.anchor)

    def update_spread(self) -> None:
        """The diagonal of the covariance."""
        anchored = len(self.text) * self.first_spread + ((self.text - self.mu) ** 2).sum(0)
        whole = len(self.images) + self.anchor * len(self.text)
        self.spread = np.maximum((self._scatter() + self.anchor * anchored) / whole, np.finfo(np.float64).tiny)

    def log_density(self) -> Doubles:
        """Log N(f_i; mu_c, S) (N, C), up to what all classes have in common."""
        scaled = self.mu / self.spread
        return np.asarray(self.images @ scaled.T - 0.5 * (self.mu * scaled).sum(1))

    def _scatter(self) -> Doubles:
        """sum_ic z_ic (f_i - mu_c)^2 (D,)."""
        z, mu = self.z, self.mu
        squares = z.sum(1) @ self.images**2 - 2 * ((z.T @ self.images) * mu).sum(0) + z.sum(0) @ mu**2
        return np.asarray(np.maximum(squares, 0))


def affinity(images: Floats, neighbours: int) -> Any:
    """A (N, N), sparse: the cosines, if above 0, of each of the unit images (N, D) and its nearest, from both sides."""
    count, wanted = len(images), min(neighbours, len(images) - 1)
    if wanted < 1:
        return csr_array((count, count))
    nearest, cosines = np.empty((count, wanted), np.int64), np.empty((count, wanted))
    for start in range(0, count, step := max(1, COSINES // count)):
        block = images[start : start + step] @ images.T
        block[np.arange(len(block)), np.arange(start, start + len(block))] = -np.inf
        best = np.argpartition(-block, wanted - 1, axis=1)[:, :wanted]
        nearest[start : start + step] = best
        cosines[start : start + step] = np.take_along_axis(block, best, 1)
    one_way = csr_array(
        (np.maximum(cosines, 0).ravel(), nearest.ravel(), np.arange(count + 1) * wanted), shape=(count, count)
    )
    return csr_array(one_way + one_way.T)


def independent(pairs: Any) -> Iterator[Ints]:
    """Rows (n,) of a sparse symmetric matrix in parts, of which no two in a part are neighbours: greedy colours."""
    colours = np.full(pairs.shape[0], -1)
    for row in range(len(colours)):
        taken = set(colours[pairs.indices[pairs.indptr[row] : pairs.indptr[row + 1]]].tolist())
        colours[row] = next(colour for colour in range(len(taken) + 1) if colour not in taken)
    for colour in range(colours.max() + 1):
        yield np.flatnonzero(colours == colour)


class Transduced(Adjusted):
    """`--transductive`: the logits log z of all images together.

    Args:
        text: class rows (C, D) of a head that compares images with one row a class.
    """

    whole = True
    how = "transductive"

    def __init__(self, text: Floats) -> None:
        super().__init__()
        self._text = unit(text)

    @property
    def said(self) -> str:
        """How many images were looked at."""
        return f"{TRANSDUCTIVE}: {self.images:,} images together"

    def _adjust(self, images: Floats, logits: Floats) -> Floats:
        mixture = Mixture(unit(images), self._text, logits)
        for _ in range(ROUNDS):
            mixture.update_z()
            mixture.update_mu()
            mixture.update_spread()
        mixture.update_z()
        return np.log(np.maximum(mixture.z, np.finfo(np.float32).tiny)).astype(np.float32)
