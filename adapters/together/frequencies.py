"""Class frequencies: those that a head has learned, those that a file names, those that unlabelled images have.

With p (N, C) a head's probabilities, pi_0 the frequencies that it has learned and pi others, the answers at pi are

    p'_ic  ~  p_ic pi_c / pi_0,c                                                            (Bayes)
    em     pi <- mean_i p'_i, from pi_0 on, to its fixed point: the maximum of the likelihood of the images.
           Saerens, Latinne and Decaestecker, Neural Computation 14, 2002.
    bbse   pi solves M pi = q, pi >= 0, in least squares, with q_j the share of images that are taken for class j and
           M_jc the share of held-out images of class c that are. Lipton, Wang and Smola (arXiv 1802.03916), with pi in
           place of their weights pi / pi_0, and where M is singular or the solution negative the nearest that is none.

Both suppose that images of a class look as before and that only their number is another; em also, that the
probabilities are right: calibrate first.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adapters.arrays import Doubles, Ints
from adapters.errors import AdapterError
from adapters.metrics import log_softmax, softmax
from featcache.show.spreadsheet import BYTE_ORDER_MARK, plain

COLUMNS = ("class", "share")
CHANGE, ROUNDS = 1e-8, 1000
"""EM ends where no frequency moves by more, or after so many rounds."""
LEAST = 0.5
"""Images that a class has at least: one that none was taken for is not ruled out."""


def shifted(logits: Doubles, shares: Doubles, learned: Doubles) -> Doubles:
    """Logits (N, C) at other class frequencies (C,) than those (C,) that a head has learned."""
    return np.asarray(logits + np.log(shares) - np.log(learned))


def em_shares(logits: Doubles, learned: Doubles) -> Doubles:
    """Frequencies (C,) of the images with these logits (N, C) of a head that has learned others (C,)."""
    log_p, shares = log_softmax(logits), learned
    for _ in range(ROUNDS):
        found = softmax(shifted(log_p, shares, learned)).mean(0)
        moved = np.abs(found - shares).max()
        shares = at_least(found, len(logits))
        if moved < CHANGE:
            break
    return shares


def bbse_shares(predicted: Ints, held_out: Ints, labels: Ints, classes: int) -> Doubles:
    """Frequencies (C,) by how often classes are taken for each other.

    Args:
        predicted: classes (N,) that the images are taken for.
        held_out: classes (M,) that held-out images are taken for.
        labels: classes (M,) that these have. One that none of them has is supposed to be always found.
        classes: C.

    Raises:
        AdapterError: no held-out image is taken for a class that the images are taken for.
    """
    from scipy.optimize import nnls  # a tenth of a second that other frequencies do without

    counts = np.zeros((classes, classes))
    np.add.at(counts, (held_out, labels), 1)
    absent = np.flatnonzero(counts.sum(0) == 0)
    counts[absent, absent] = 1
    taken = np.bincount(predicted, minlength=classes) / len(predicted)
    solved, _ = nnls(counts / counts.sum(0), taken)
    if not solved.any():
        raise AdapterError(
            f"--prior bbse finds nothing in {len(predicted)} images: no held-out image is taken for a class that they "
            "are taken for; give more images, or type --prior em"
        )
    return at_least(np.asarray(solved / solved.sum()), len(predicted))


def at_least(shares: Doubles, images: int) -> Doubles:
    """Frequencies (C,) of which none is less than that of half an image."""
    raised = np.maximum(shares, LEAST / images)
    return np.asarray(raised / raised.sum())


def learned_shares(counts: Ints) -> Doubles:
    """Frequencies (C,) of the images (C,) that a head has learned from."""
    return at_least(counts / counts.sum(), int(counts.sum()))


def uniform(classes: int) -> Doubles:
    """Equal frequencies (C,)."""
    return np.full(classes, 1 / classes)


def read_shares(path: Path, class_names: Sequence[str]) -> tuple[Doubles, str]:
    """Frequencies (C,) from a CSV file of `class,share`, and its name with 8 digits of its SHA-256.

    Shares are numbers above 0 of any sum, such as counts of last year.

    Raises:
        AdapterError: it cannot be read, or does not name each of the classes once with such a number.
    """
    expected = "expected a CSV file with the columns class and share, a line for each class"
    try:
        content = path.expanduser().read_bytes()
        text = content.decode().removeprefix(BYTE_ORDER_MARK)
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except OSError as error:
        raise AdapterError(f"--prior {path} cannot be read ({error.strerror}): give another file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise AdapterError(f"--prior {path} is no table ({error}); {expected}") from error
    if rows and not set(COLUMNS) <= set(rows[0]):
        raise AdapterError(f"--prior {path} has the columns {', '.join(map(str, rows[0]))}; {expected}")
    found: dict[str, float] = {}
    for line, row in enumerate(rows, 2):
        name, share = (plain(row[column] or "") for column in COLUMNS)
        if name not in class_names or name in found:
            why = "twice" if name in found else "which the head does not know"
            raise AdapterError(f"--prior {path} names class {name!r}, {why}, in line {line}; {expected}")
        found[name] = _number(share)
        if not 0 < found[name] < math.inf:
            raise AdapterError(f"--prior {path} gives {name} the share {share!r}; expected a number above 0")
    if missing := [name for name in class_names if name not in found]:
        raise AdapterError(f"--prior {path} lacks class {missing[0]!r}; {expected}")
    shares = np.array([found[name] for name in class_names])
    return shares / shares.sum(), f"{path.name}@{hashlib.sha256(content).hexdigest()[:8]}"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
