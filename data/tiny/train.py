"""Train `tiny`, the embedded CLIP: contrastively, on captioned scenes of glyphs that are rendered from fonts.

    sh data/tiny/fetch_fonts.sh build/fonts
    python data/tiny/train.py --fonts build/fonts --out data/tiny

The model is open_clip's own `CLIP` (a small ModifiedResNet and a small text transformer), the loss the symmetric
InfoNCE of CLIP with a learned scale clipped at 100. Every eighth font family is held out; accuracy on digits of those
families is printed as the run goes on. No image of any data set is read.

Only rows of the token embedding that a caption uses are trained. The other rows are random signs times `TOKEN_SIGMA`:
distinct texts stay distinct, and one bit of entropy a number keeps the packed file small. Weights are saved as float16.

The same seed, thread count, fonts and library versions give the same weights on the same kind of processor. The fonts
are checked by digest: with others the script still trains, and says that the result is not the recipe's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from pathlib import Path
from typing import Any

import open_clip
import scenes
import torch
import torch.nn.functional as F  # noqa: N812
from glyphs import CHARACTERS, Glyphs, files_digest, font_files, load
from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import Tensor, nn

#: What `files_digest` gives for the fonts of fonts.txt, and `Glyphs.digest` for their bitmaps.
FONTS_SHA256 = "d36079860a63f81b9ea81b35d8058c445331adc0f9c21ee631976c717f36e149"
GLYPHS_SHA256 = "baefae65fdee421549637a42e01113c10323de2837864f56076369459f443205"
WEIGHTS = "open_clip_model.safetensors"
TOKEN_SIGMA = 2.0**-6
MODEL: dict[str, Any] = {
    "embed_dim": 128,
    "quick_gelu": False,
    "vision_cfg": {"image_size": scenes.SIZE, "layers": [1, 1, 1, 1], "width": 20},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
PREPROCESS: dict[str, Any] = {
    "size": scenes.SIZE,
    "mode": "RGB",
    "mean": list(open_clip.OPENAI_DATASET_MEAN),
    "std": list(open_clip.OPENAI_DATASET_STD),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
HELD_OUT = 8  # every eighth family is for validation


def vocabulary() -> Tensor:
    """Ids of all tokens that captions use, ascending (so that the end token stays the highest): `(V,)` int64."""
    words = [scenes.name_of(c, form) for c in CHARACTERS for form in range(6)]
    words += [shade + colour for shade, _ in scenes.SHADES for colour in scenes.COLOURS]
    words += [*scenes.PATTERNS, *scenes.GREY_TEMPLATES, *scenes.COLOUR_TEMPLATES, *scenes.GROUND_TEMPLATES]
    texts = [word.replace("{fg}", "").replace("{bg}", "").replace("{}", "") for word in words]
    # a full stop is part of another token after some words
    tokens: Tensor = open_clip.SimpleTokenizer(context_length=32)(texts + [f"{text}." for text in texts])
    used: Tensor = torch.unique(tokens)
    return used


def build(seed: int) -> CLIP:
    """A fresh model from `seed`."""
    torch.manual_seed(seed)
    model = CLIP(MODEL["embed_dim"], MODEL["vision_cfg"], MODEL["text_cfg"], quick_gelu=MODEL["quick_gelu"])
    with torch.no_grad():
        model.token_embedding.weight.bernoulli_(0.5).sub_(0.5).mul_(2 * TOKEN_SIGMA)
    return model


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE of unit rows `(B, D)` that belong together, as in CLIP."""
    logits = scale * images @ texts.T
    target = torch.arange(len(logits))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def normalise(images: Tensor) -> Tensor:
    """Images `(B, 3, H, W)` in [0, 1] as the model wants them."""
    mean, std = (torch.tensor(PREPROCESS[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def validate(model: CLIP, lookup: Tensor, images: Tensor, labels: Tensor) -> float:
    """Zero-shot accuracy on grey digits of the families that were held out."""
    model.eval()
    prompts = [f"a photo of the digit {word}." for word in scenes.DIGIT_WORDS]
    texts = model.encode_text(lookup[open_clip.SimpleTokenizer(context_length=32)(prompts)], normalize=True)
    accuracy = (model.encode_image(normalise(images), normalize=True) @ texts.T).argmax(1).eq(labels).float().mean()
    model.train()
    return float(accuracy)


def train(glyphs: Glyphs, *, steps: int, batch_size: int, learning_rate: float, seed: int, every: int = 200) -> CLIP:
    """The whole run: AdamW, linear warm-up, then a cosine to zero.

    Args:
        glyphs: bitmaps of all families; every eighth family is held out.
        steps: optimiser steps.
        batch_size: pairs a step.
        learning_rate: at its highest.
        seed: of the model and of the data.
        every: steps between two lines of progress.

    Returns:
        The trained model in eval mode, with its whole token embedding.
    """
    model = build(seed)
    rows = vocabulary()
    lookup = torch.full((MODEL["text_cfg"]["vocab_size"],), -1)  # -1 fails in the embedding: no caption may use it
    lookup[rows] = torch.arange(len(rows))
    whole = model.token_embedding
    model.token_embedding = nn.Embedding(len(rows), whole.embedding_dim, _weight=whole.weight[rows].detach().clone())
    model.visual.to(memory_format=torch.channels_last)
    tokenize = open_clip.SimpleTokenizer(context_length=MODEL["text_cfg"]["context_length"])

    held_out = glyphs.families % HELD_OUT == HELD_OUT - 1
    data = scenes.Scenes(glyphs.where(~held_out), seed)
    check = scenes.Scenes(glyphs.where(held_out), 0).digits(1000) if held_out.any() else None

    matrices = [p for n, p in model.named_parameters() if p.ndim >= 2 and "embedding" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim < 2 or "embedding" in n]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98))
    warm = min(200, max(1, steps // 10))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: min(1.0, (t + 1) / warm) * 0.5 * (1 + math.cos(math.pi * min(1.0, t / steps)))
    )
    model.train()
    start, cpu = time.perf_counter(), time.process_time()
    for step in range(1, steps + 1):
        batch = data.draw(batch_size)
        images = model.encode_image(normalise(batch.images), normalize=True)
        texts = model.encode_text(lookup[tokenize(batch.captions)], normalize=True)
        loss = contrastive_loss(images, texts, model.logit_scale.exp())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0.0, math.log(100))
        if step % every == 0 or step == steps:
            accuracy = validate(model, lookup, *check) if check else float("nan")
            seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
            print(
                f"step {step} loss {loss.item():.3f} scale {model.logit_scale.exp().item():.1f} "
                f"held-out fonts {accuracy:.3f} {seconds:.0f} s, {cpu_seconds:.0f} CPU s",
                flush=True,
            )
    with torch.no_grad():
        whole.weight[rows] = model.token_embedding.weight
    model.token_embedding = whole
    return model.eval()


def save(model: CLIP, folder: Path) -> None:
    """Write the open_clip model directory: configuration and float16 weights."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    state = {n: (t.half() if t.is_floating_point() else t).contiguous() for n, t in model.state_dict().items()}
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / WEIGHTS).chmod(0o644)


def main() -> None:
    """Read the command line, check the fonts, train, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fonts", type=Path, default=Path("build/fonts"), help="folder made by fetch_fonts.sh")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where the model directory goes")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="another number sums in another order")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    files = font_files(args.fonts)
    glyphs = load(files)
    print(f"{len(files)} files, {len(glyphs.names)} families, {len(glyphs.bitmaps)} bitmaps", flush=True)
    found = {"font files": files_digest(files), "glyph bitmaps": glyphs.digest()}
    for (what, digest), expected in zip(found.items(), (FONTS_SHA256, GLYPHS_SHA256), strict=True):
        verdict = "as in the recipe" if digest == expected else f"NOT the recipe's {expected}: the weights will differ"
        print(f"{what}: sha256 {digest}, {verdict}", flush=True)
    model = train(
        glyphs, steps=args.steps, batch_size=args.batch_size, learning_rate=args.learning_rate, seed=args.seed
    )
    save(model, args.out)
    print(f"weights: sha256 {hashlib.sha256((args.out / WEIGHTS).read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
