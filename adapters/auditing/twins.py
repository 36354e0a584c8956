"""Images that are there twice, within and across splits.

Identical are images of equal file digests, where the cache has them, and of equal embeddings. Nearly identical are
images whose cosine lies beyond what the data itself says of neighbours: with d the distances 1 - cosine of images to
their nearest other one, of those that are not identical, the limit is

    log d = median(log d) - FENCE (upper quartile(log d) - median(log d)).

The spread is that of the upper half, which twins do not touch. For a normal distribution this is four standard
deviations below the mean; smallest distances have a longer lower tail, so that of images drawn independently of each
other up to one in a hundred passes by chance (for Gumbel's distribution of minima, 1.1 %).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from adapters.arrays import Floats, Ints
from adapters.auditing.pool import Image, Pool
from adapters.heads.tip.key_index import build_index, search, search_within

FENCE = 6.0
LOOKED_AT = 2000
"""Images whose nearest neighbours say how near neighbours are; of more, as many are drawn."""
LEAST_TO_SAY = 20
"""Images below which nothing is said of near ones."""
LEAST_DISTANCE = 1e-6
"""1 - cosine below which float32 tells nothing apart."""


@dataclass(frozen=True)
class Twins:
    """Images that are one picture.

    Attributes:
        images: two or more.
        labels: class indices of them, -1 for one without a label.
        cosine: the least of pairs that were found.
        identical: whether all are the same file, or have the same embedding.
    """

    images: tuple[Image, ...]
    labels: tuple[int, ...]
    cosine: float
    identical: bool


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of twins: numbers of images (P,) both, cosines (P,), and which are identical (P,).

    Attributes:
        limit: cosine above which images are twins; None where there are too few to say.
    """

    one: Ints
    other: Ints
    cosine: Floats
    identical: npt.NDArray[np.bool_]
    limit: float | None


def find_pairs(pool: Pool) -> Pairs:
    """All pairs of twins, each once; of identical images those with the first of them."""
    first = _first_identical(pool)
    apart = np.flatnonzero(first == np.arange(len(pool)))
    repeated = np.flatnonzero(first != np.arange(len(pool)))
    index = build_index(pool.features[apart], "flat")
    limit = _limit(index, pool.features[apart])
    one, other, cosine = [first[repeated]], [repeated], [_cosines(pool.features, first[repeated], repeated)]
    if limit is not None:
        query, key, near = search_within(index, pool.features[apart], limit)
        once = query < key
        one.append(apart[query[once]])
        other.append(apart[key[once]])
        cosine.append(near[once])
    identical = np.arange(sum(map(len, one))) < len(repeated)
    return Pairs(np.concatenate(one), np.concatenate(other), np.concatenate(cosine), identical, limit)


def groups(pool: Pool, pairs: Pairs) -> tuple[Twins, ...]:
    """Twins of twins together, the most alike first."""
    if not len(pairs.one):
        return ()
    links = coo_matrix((np.ones(len(pairs.one)), (pairs.one, pairs.other)), shape=(len(pool), len(pool)))
    _, which = connected_components(links, directed=False)
    members: dict[int, list[int]] = {}
    for number in np.unique(np.concatenate([pairs.one, pairs.other])).tolist():
        members.setdefault(int(which[number]), []).append(number)
    least = np.ones(len(pool))
    same = np.ones(len(pool), bool)
    np.minimum.at(least, which[pairs.one], pairs.cosine)
    np.logical_and.at(same, which[pairs.one], pairs.identical)
    found = [
        Twins(
            tuple(pool.image(i) for i in of_group),
            tuple(int(pool.labels[i]) for i in of_group),
            min(float(least[group]), 1.0),
            bool(same[group]),
        )
        for group, of_group in members.items()
    ]
    return tuple(sorted(found, key=lambda twins: (not twins.identical, -twins.cosine)))


def leaked(pool: Pool, pairs: Pairs) -> npt.NDArray[np.bool_]:
    """(N,) which test images have a twin in train or val."""
    # Identical images are linked to the first of them alone: those of one digest or embedding count together.
    linked = np.arange(len(pool))
    linked[pairs.other[pairs.identical]] = pairs.one[pairs.identical]
    test = pool.of_split("test")
    learned = pool.of_split("train") | pool.of_split("val")
    near = ~pairs.identical
    seen = np.zeros(len(pool), bool)  # whether the group of identical images has one to learn from, by its first
    seen[linked[learned]] = True
    reached = seen.copy()
    reached[pairs.one[near & seen[pairs.other]]] = True
    reached[pairs.other[near & seen[pairs.one]]] = True
    return np.asarray(test & reached[linked])


def _first_identical(pool: Pool) -> Ints:
    """The first image (N,) that is identical to each; itself where none before it is."""
    first = _first_equal(pool.features)
    if pool.content is not None and pool.content.any():
        known = np.flatnonzero(pool.content.any(axis=1))
        of_file = np.arange(len(pool))
        of_file[known] = known[_first_equal(pool.content[known])]
        links = coo_matrix(
            (np.ones(2 * len(pool)), (np.concatenate([first, of_file]), np.tile(np.arange(len(pool)), 2))),
            shape=(len(pool), len(pool)),
        )
        _, which = connected_components(links, directed=False)
        first = np.unique(which, return_index=True)[1][which]
    return np.asarray(first, dtype=np.int64)


def _first_equal(rows: npt.NDArray[np.generic]) -> Ints:
    """The first row (N,) of equal bytes."""
    keys = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    found: dict[bytes, int] = {}
    return np.array([found.setdefault(key.tobytes(), number) for number, key in enumerate(keys)])


def _limit(index: object, features: Floats) -> float | None:
    if len(features) < LEAST_TO_SAY:
        return None
    drawn = features
    if len(features) > LOOKED_AT:
        drawn = features[np.sort(np.random.default_rng(0).choice(len(features), LOOKED_AT, replace=False))]
    cosines, _ = search(index, drawn, 2)  # the nearest is the image itself
    distances = np.log(np.maximum(1 - cosines[:, 1].astype(np.float64), LEAST_DISTANCE))
    middle, upper = np.quantile(distances, [0.5, 0.75])
    return float(1 - np.exp(middle - FENCE * (upper - middle)))


def _cosines(features: Floats, one: Ints, other: Ints) -> Floats:
    return np.asarray(np.einsum("nd,nd->n", features[one], features[other]), dtype=np.float32)
