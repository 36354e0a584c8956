"""A Gaussian for every class seen, kept in bounded memory and drawn from in place of rows that are gone."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapters.arrays import Floats


class Gaussians(NamedTuple):
    """Gaussians of C classes: covariance = factor^T factor + across^2 (I - J) + along^2 J, where J = 1 1^T / D."""

    mean: Floats
    """(C, D)."""
    factor: Floats
    """(C, R, D), padded with zero rows."""
    spread: Floats
    """across and along (C, 2)."""

    @classmethod
    def none(cls, dim: int) -> Gaussians:
        """Those of no class."""
        return cls(*(np.zeros(shape, dtype=np.float32) for shape in ((0, dim), (0, 0, dim), (0, 2))))

    @property
    def known(self) -> NDArray[np.int64]:
        """The classes that have one."""
        return np.flatnonzero(self.spread[:, 1] > 0)

    def updated(
        self, rows: Floats, labels: NDArray[np.int64], classes: int, *, ridge: float, shrink: bool
    ) -> Gaussians:
        """With the Gaussians of the classes in rows (N, D) set anew; there are `classes` of them then.

        Args:
            rows: features.
            labels: class codes (N,).
            classes: number of classes seen so far.
            ridge: added to the variances.
            shrink: add the mean variance to the variances and the mean covariance to the covariances.
        """
        dim = rows.shape[1]
        longest = min(dim, int(np.bincount(labels).max()))
        mean = np.zeros((classes, dim), dtype=np.float32)
        factor = np.zeros((classes, max(longest, self.factor.shape[1]), dim), dtype=np.float32)
        spread = np.zeros((classes, 2), dtype=np.float32)
        old = len(self.mean)
        mean[:old], factor[:old, : self.factor.shape[1]], spread[:old] = self
        for label in np.unique(labels):
            own = rows[labels == label].astype(np.float64)
            mean[label] = own.mean(0)
            centred = (own - own.mean(0)) / math.sqrt(max(1, len(own) - 1))
            triangle = torch.linalg.qr(torch.from_numpy(centred), mode="r").R.numpy()
            factor[label] = 0
            factor[label, : len(triangle)] = triangle
            across = along = ridge
            if shrink:
                total = float((triangle**2).sum())
                diagonal = total / dim + ridge
                other = (float((triangle.sum(1) ** 2).sum()) - total) / max(1, dim * (dim - 1))
                across, along = ridge + diagonal - other, ridge + diagonal + (dim - 1) * other
            spread[label] = math.sqrt(max(0.0, across)), math.sqrt(max(ridge, along))
        return Gaussians(mean, factor, spread)

    def draw(self, classes: Tensor, size: int, generator: torch.Generator) -> Tensor:
        """As many rows (len(classes) * size, D) of each class, those of a class next to each other."""
        rank, dim = self.factor.shape[1:]
        noise = torch.randn(len(classes), size, rank, generator=generator)
        even = torch.randn(len(classes), size, dim, generator=generator)
        mean, factor, spread = (torch.from_numpy(array)[classes] for array in self)
        across, along = spread.T[:, :, None, None]
        level = even.mean(2, keepdim=True)
        rows = mean[:, None] + torch.bmm(noise, factor) + across * (even - level) + along * level
        return torch.flatten(rows, 0, 1)
