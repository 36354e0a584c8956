"""Augmented views of an image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torchvision.transforms import Compose, InterpolationMode, RandomHorizontalFlip, RandomResizedCrop
from torchvision.transforms.functional import pil_to_tensor


@dataclass(frozen=True)
class ViewTransform:
    """One augmented view, as Tip-Adapter draws them: random crop of 50-100 % of the area, bicubic, mirrored or not.

    Attributes:
        size: (height, width) of the result, in pixels.
    """

    size: tuple[int, int]

    def __call__(self, image: Image.Image, seed: int | None = None) -> torch.Tensor:
        """Draw a view.

        Args:
            image: As `images.decode.decode` gives it.
            seed: The same seed gives the same view, and torch's global random state is left as it was. None draws
                from that global state.

        Returns:
            (3, H, W) uint8.
        """
        if seed is None:
            return self._draw(image)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPUs as well
            return self._draw(image)

    def _draw(self, image: Image.Image) -> torch.Tensor:
        crop = RandomResizedCrop(self.size, scale=(0.5, 1.0), interpolation=InterpolationMode.BICUBIC)
        mirrored = Compose([crop, RandomHorizontalFlip(0.5)])(image.convert("RGB"))
        view: torch.Tensor = pil_to_tensor(mirrored)
        return view
