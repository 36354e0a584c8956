"""Sums by class against a loop; on a GPU the same bits every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adapters.training.class_sums import add_by_class, rows_by_class

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize("shape", [(6,), (2, 6)])
@pytest.mark.parametrize("shared", [True, False])
def test_every_term_is_added_to_its_class(shape: tuple[int, ...], shared: bool) -> None:
    random = np.random.default_rng(0)
    terms = random.normal(size=(*shape, 500)).astype(np.float32)
    codes = random.integers(0, 4, (*shape[:-1], 1 if shared else shape[-1], 500))
    labels = torch.from_numpy(codes).to(DEVICE).expand(terms.shape)
    start = torch.ones(*shape, 5, device=DEVICE)
    total = add_by_class(start.clone(), torch.from_numpy(terms).to(DEVICE), labels)
    own = np.broadcast_to(codes, terms.shape)
    expected = 1 + np.stack([np.where(own == code, terms, 0).astype(np.float64).sum(-1) for code in range(5)], -1)
    np.testing.assert_allclose(total.cpu(), expected, atol=1e-4)
    again = add_by_class(start.clone(), torch.from_numpy(terms).to(DEVICE), labels)
    assert torch.equal(again, total)


def test_rows_are_summed_by_class() -> None:
    random = np.random.default_rng(0)
    rows, labels = random.normal(size=(3, 40, 7)).astype(np.float32), random.integers(0, 4, (3, 40))
    sums = rows_by_class(torch.from_numpy(rows).to(DEVICE), torch.from_numpy(labels).to(DEVICE), 5)
    expected = [[each[own == code].sum(0) for code in range(5)] for each, own in zip(rows, labels, strict=True)]
    np.testing.assert_allclose(sums.cpu(), expected, atol=1e-5)
