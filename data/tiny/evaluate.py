"""Measure `tiny` on scikit-learn's handwritten digits, which it never saw: zero-shot and linear probes.

    python data/tiny/evaluate.py [MODEL_DIRECTORY]

The 1,797 images of 8 x 8 pixels (0..16, scaled to 0..255) pass through the model's own transform. Zero-shot uses
`PROMPTS`; a linear probe is logistic regression (scikit-learn, C = 10) on unit features of 1, 4 or 16 images a class,
drawn with seeds 1-3, scored on all other images.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PROMPTS = ("a photo of the digit {}.", "a handwritten {}.", "a blurry photo of the number {}.")


@torch.inference_mode()
def encode(folder: Path) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Unit image features `(1797, D)`, labels `(1797,)`, and unit text weights `(10, D)` by form of the class names."""
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenize = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    images, labels = load_digits(return_X_y=True)
    scaled = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    pixels = torch.stack([transform(Image.fromarray(image)) for image in scaled])
    features = model.encode_image(pixels, normalize=True).numpy()
    weights = {}
    for form, names in {"words": WORDS, "figures": tuple("0123456789")}.items():
        rows = [model.encode_text(tokenize([p.format(n) for p in PROMPTS]), normalize=True).mean(0) for n in names]
        weights[form] = torch.nn.functional.normalize(torch.stack(rows), dim=-1).numpy()
    return features, labels, weights


def probe(features: np.ndarray, labels: np.ndarray, shots: int, seed: int) -> float:
    """Accuracy of logistic regression fitted on `shots` images a class, on all others."""
    rng = np.random.default_rng(seed)
    chosen = np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:shots] for c in range(10)])
    rest = np.setdiff1d(np.arange(len(labels)), chosen)
    head = LogisticRegression(C=10.0, max_iter=2000).fit(features[chosen], labels[chosen])
    return float(head.score(features[rest], labels[rest]))


def measure(folder: Path) -> dict[str, float]:
    """All figures of the card, as fractions."""
    features, labels, weights = encode(folder)
    report = {f"zero-shot, {form}": float(((features @ w.T).argmax(1) == labels).mean()) for form, w in weights.items()}
    for shots in (1, 4, 16):
        report[f"probe, {shots} shots"] = float(np.mean([probe(features, labels, shots, seed) for seed in (1, 2, 3)]))
    return report


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    print(json.dumps({name: round(value, 4) for name, value in measure(target).items()}, indent=2))
