"""What the cross-modal linear probe is trained on: images and prompts in one pool, and the rows of every batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from adapters.arrays import Floats, unit
from adapters.support import Support


def pool_of(support: Support) -> tuple[Tensor, Tensor]:
    """Unit rows (P, D), every view of every image, then every prompt of every class; and their class codes (P,)."""
    prompts = prompts_of(support)
    there = ~np.isnan(prompts).any(2)
    pool = np.concatenate([support.unit_views.reshape(-1, prompts.shape[2]), unit(prompts[there])])
    labels = np.concatenate([np.repeat(support.labels, support.views.shape[1]), np.nonzero(there)[0]])
    return torch.from_numpy(pool), torch.from_numpy(labels)


def prompts_of(support: Support) -> Floats:
    """Embeddings (C, T, D) of all prompts, NaN where a class has fewer; class rows where only those are known."""
    return support.text[:, None] if support.prompts is None else support.prompts


def texts_of(support: Support) -> int:
    """How many prompts all classes have together."""
    return int((~np.isnan(prompts_of(support)).any(2)).sum())


def batches_of(support: Support, batch_size: int, steps: int, seed: int) -> Tensor:
    """Numbers (steps, B) of the rows of every step in the pool of `pool_of`: half of them images, half prompts."""
    generator = torch.Generator().manual_seed(seed)
    images, half = support.views.shape[0] * support.views.shape[1], batch_size // 2
    of_images = draw_rows(images, half, steps, generator)
    of_texts = draw_rows(texts_of(support), half, steps, generator) + images
    return torch.cat([of_images, of_texts], 1)


def draw_rows(rows: int, size: int, steps: int, generator: torch.Generator) -> Tensor:
    """Row numbers (steps, size) of shuffled batches, pass after pass; an incomplete last batch of a pass is left out.

    A set smaller than a batch is one batch.
    """
    size = min(size, rows)
    whole = rows // size
    passes = -(-steps // whole)
    shuffles = [torch.randperm(rows, generator=generator) for _ in range(max(passes, 1))]
    return torch.stack(shuffles)[:, : whole * size].reshape(-1, size)[:steps]
