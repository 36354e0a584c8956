"""CLIP-Adapter as a plain PyTorch loop: modules, autograd, torch.optim, one training after another.

The mathematics, initial weights, batches and learning rates are those of `adapters.ClipAdapter`, whose plan it takes;
how it is computed is what anyone would write. Method and recipe: Gao et al., CLIP-Adapter (arXiv 2110.04544).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from adapters import ClipAdapter
from adapters.support import Support


class Plain:
    """One support set on a device, for any number of trainings.

    Args:
        support: one view an image.
        device: where to.
        dtype: of all numbers; float64 makes a reference.
    """

    def __init__(self, support: Support, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.support, self.device, self.dtype = support, device, dtype
        self.features = torch.from_numpy(support.unit_views[:, 0]).to(device, dtype)
        self.labels = torch.from_numpy(support.labels).to(device)
        self.text = torch.from_numpy(support.text).to(device, dtype)

    def train(self, head: ClipAdapter) -> tuple[Tensor, Tensor]:
        """W1 (H, D) and W2 (D, H) that the settings of a head lead to."""
        plan = head._plan(self.support)
        (width, dim), batch = plan.image[0].shape, min(head.batch_size, len(self.labels))
        adapter = nn.Sequential(
            nn.Linear(dim, width, bias=False), nn.ReLU(), nn.Linear(width, dim, bias=False), nn.ReLU()
        ).to(self.device, self.dtype)
        with torch.no_grad():
            for weight, start in zip(adapter.parameters(), plan.image, strict=True):
                weight.copy_(start)
        optimizer = torch.optim.SGD(
            adapter.parameters(), lr=head.lr, momentum=head.momentum, weight_decay=head.weight_decay
        )
        steps = len(self.labels) // batch
        for epoch in range(len(plan.rates) // steps):
            optimizer.param_groups[0]["lr"] = plan.rates[epoch * steps]
            for rows in plan.rows[epoch * steps : (epoch + 1) * steps].to(self.device):
                features = self.features[rows]
                blended = head.alpha * adapter(features) + (1 - head.alpha) * features
                blended = blended / blended.norm(dim=-1, keepdim=True)
                loss = cross_entropy(head.logit_scale * blended @ self.text.t(), self.labels[rows])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # PyTorch's
                optimizer.step()
        w1, w2 = (weight.detach().cpu() for weight in adapter.parameters())
        return w1, w2

    def logits(self, head: ClipAdapter, weights: tuple[Tensor, Tensor], rows: Tensor) -> Tensor:
        """Logits (Q, C) of unit rows (Q, D), up to the scale."""
        w1, w2 = (weight.to(self.dtype) for weight in weights)
        rows = rows.to(self.dtype)
        blended = head.alpha * (rows @ w1.T).relu().mm(w2.T).relu() + (1 - head.alpha) * rows
        return blended.div(blended.norm(dim=-1, keepdim=True)).mm(self.text.cpu().T)
