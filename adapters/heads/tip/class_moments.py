"""What the keys of each class add up to: enough to bound their votes for any query without touching a key.

For a query q, the affinities s_n = q k_n^T of the N_c keys of class c have, with mu_c the mean key of the class,

    sum_n s_n          =  q (sum_n k_n)^T                       exactly, in O(D);
    sum_n (s_n - a)^2  =  q S_c q^T,  a = q mu_c^T              exactly, S_c = sum_n (k_n - mu_c)^T (k_n - mu_c);
    s_n                <= a + |q| max_n |k_n - mu_c|            by Cauchy and Schwarz.

The D x D matrices S_c of all classes may outweigh the keys themselves. Of each, the R largest eigenvalues l_i are kept
with their eigenvectors v_i, and t, the largest of the others, which bounds what they add:

    q S_c q^T  <=  sum_i l_i (q v_i^T)^2  +  t (|q|^2 - sum_i (q v_i^T)^2).

Everything here is float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from adapters.arrays import Floats, Ints

Doubles = NDArray[np.float64]

SHARE = 16
"""Keys of the cache for one eigenvector kept: what is kept, and its product with a query, stay below 1 / SHARE of the
keys and theirs."""
SMALLEST = 1e-6
"""Of the largest eigenvalue: an eigenvector of a smaller one is not worth keeping, nor known well."""
ROWS = 16_384
"""Keys that are worked on at once."""


class Projection(NamedTuple):
    """The moments along queries (Q, D), each (Q, C)."""

    total: Doubles
    """Sum of a class's affinities."""
    centre: Doubles
    """Affinity to the class's mean key."""
    scatter: Doubles
    """At least the sum of squared distances of a class's affinities from `centre`."""
    likely: Doubles
    """An estimate of that sum: as if the eigenvalues that are not kept were all alike."""
    most: Doubles
    """At least the largest affinity in a class."""


class ClassMoments(NamedTuple):
    """Counts, sums and scatter of the keys of every class."""

    counts: Ints
    """Keys of each class (C,)."""
    sums: Doubles
    """Sum of a class's keys (C, D)."""
    radius: Doubles
    """Largest distance of a key from its class's mean (C,)."""
    norm: float
    """Largest norm of a key."""
    values: Doubles
    """Eigenvalues kept (C, R); 0 where a class has fewer."""
    vectors: Doubles
    """Their eigenvectors (C, R, D); 0 where a class has fewer."""
    tail: Doubles
    """Largest eigenvalue that is not kept (C,)."""
    rest: Doubles
    """Mean of those that are not kept (C,)."""

    @classmethod
    def of(cls, keys: Floats, labels: Ints, classes: int) -> Self:
        """Of keys (N, D), of any norm, with class codes (N,)."""
        dim = keys.shape[1]
        counts = np.bincount(labels, minlength=classes)
        rows = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
        kept = min(dim, max(1, len(keys) // (SHARE * classes)))
        sums, vectors, values = np.zeros((classes, dim)), np.zeros((classes, kept, dim)), np.zeros((classes, kept))
        radius, tail, rest, norm = np.zeros(classes), np.zeros(classes), np.zeros(classes), 0.0
        for code in np.flatnonzero(counts):
            for block in _blocks(keys, rows[code]):
                sums[code] += block.sum(0)
                norm = max(norm, _longest(block))
            mean, few, scatter = sums[code] / counts[code], counts[code] < min(dim, ROWS), np.zeros((dim, dim))
            for block in _blocks(keys, rows[code]):
                block -= mean
                radius[code] = max(radius[code], _longest(block))
                # Either product has the same eigenvalues but for zeros; of few keys, the second is the smaller.
                scatter = block @ block.T if few else scatter + block.T @ block
            found, axes, tail[code] = _largest(scatter, kept)
            rest[code] = (np.trace(scatter) - found.sum()) / max(dim - len(found), 1)
            values[code, : len(found)] = found
            vectors[code, : len(found)] = ((axes / np.sqrt(found)).T @ block) if few else axes.T
        return cls(counts, sums, radius, norm, values, vectors, tail, np.clip(rest, 0, tail))

    def along(self, queries: Doubles) -> Projection:
        """The moments along queries (Q, D)."""
        total = queries @ self.sums.T
        centre = total / np.maximum(self.counts, 1)
        squared = np.einsum("qd,qd->q", queries, queries)
        inside, along = np.empty_like(total), np.empty_like(total)
        for code, (values, vectors) in enumerate(zip(self.values, self.vectors, strict=True)):
            shares = (queries @ vectors.T) ** 2
            inside[:, code], along[:, code] = shares @ values, shares.sum(1)
        outside = np.maximum(squared[:, None] - along, 0)
        length = np.sqrt(squared)[:, None]
        most = np.minimum(centre + length * self.radius, length * self.norm)
        return Projection(total, centre, inside + self.tail * outside, inside + self.rest * outside, most)


def _largest(matrix: Doubles, count: int) -> tuple[Doubles, Doubles, float]:
    """Eigenvalues (R,) and eigenvectors (G, R) of a positive matrix (G, G), R <= count, and the largest value left."""
    size = len(matrix)
    values, vectors = eigh(matrix, subset_by_index=[max(0, size - count - 1), size - 1])  # rising
    kept = (values > SMALLEST * values[-1]) & (np.arange(len(values)) >= len(values) - count)
    return values[kept], vectors[:, kept], float(np.max(values[~kept], initial=0))


def _blocks(keys: Floats, rows: Ints) -> Iterator[Doubles]:
    return (keys[rows[start : start + ROWS]].astype(np.float64) for start in range(0, len(rows), ROWS))


def _longest(rows: Doubles) -> float:
    return float(np.sqrt(np.einsum("nd,nd->n", rows, rows).max()))
