"""Training images of `tiny` and their captions, made on the fly from glyph bitmaps.

Three kinds of scene, all 32 x 32 RGB in [0, 1]:

- grey: a light glyph on black, distorted as handwriting is, most of them shrunk to some 8 x 8 pixels and enlarged
  again (what a model's bicubic transform makes of a tiny scan);
- colour: a coloured glyph on a plain, graded, striped, checked or noisy ground of another colour;
- ground: such a ground alone, so that colours and textures are in the embedding as well.

All randomness comes from the generator that is passed in. Distortions are batched (one `grid_sample` for the affine
and the elastic part), so that making a batch costs a fraction of the training step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from glyphs import CHARACTERS, HANDWRITTEN, Glyphs
from torch import Tensor

SIZE = 32
DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SYMBOL_WORDS = {
    "+": "plus sign", "?": "question mark", "!": "exclamation mark", "&": "ampersand", "%": "percent sign",
    "#": "hash sign", "@": "at sign", "*": "asterisk",
}  # fmt: skip
COLOURS = {
    "red": (0.85, 0.1, 0.1), "green": (0.15, 0.6, 0.15), "blue": (0.1, 0.2, 0.85), "yellow": (0.95, 0.9, 0.15),
    "orange": (0.95, 0.55, 0.1), "purple": (0.5, 0.15, 0.6), "pink": (0.95, 0.55, 0.7), "brown": (0.45, 0.28, 0.12),
    "cyan": (0.1, 0.8, 0.85), "olive": (0.45, 0.45, 0.15), "beige": (0.85, 0.78, 0.6), "black": (0.05, 0.05, 0.05),
    "white": (0.95, 0.95, 0.95), "gray": (0.5, 0.5, 0.5),
}  # fmt: skip
SHADES = (("", 1.0), ("dark ", 0.55), ("light ", 1.0))
PATTERNS = ("plain", "graded", "striped", "checked", "noisy")
ANY_TEMPLATES = (
    "{}", "a photo of a {}.", "a picture of the {}.", "an image of a {}.", "a photo of the {}.", "this is a {}.",
)  # fmt: skip
GREY_TEMPLATES = (
    *ANY_TEMPLATES, "a handwritten {}.", "a handwritten {}.", "a blurry photo of a {}.", "a scan of the {}.",
    "a low resolution photo of the {}.", "a black and white photo of the {}.",
)  # fmt: skip
COLOUR_TEMPLATES = ("a {fg} {} on a {bg} background.", "a photo of a {fg} {} on {bg}.", "a {fg} {}.", "a {} on {bg}.")
GROUND_TEMPLATES = ("a photo of a {} background.", "{}.", "a {} texture.", "an image of a {} surface.")
#: How often a scene is grey or coloured; the rest is ground alone.
GREY_SHARE, COLOUR_SHARE = 0.4, 0.35
#: How often a glyph is a digit, whatever the number of other characters.
DIGIT_SHARE = 0.2
HANDWRITTEN_BOOST = 3.0


@dataclass(frozen=True)
class Batch:
    """Images `(B, 3, 32, 32)` float32 in [0, 1] and one caption for each."""

    images: Tensor
    captions: list[str]


def name_of(character: str, form: int) -> str:
    """What a caption calls a character; `form` picks among its names."""
    if character.isdigit():
        word = character if form % 2 else DIGIT_WORDS[int(character)]
        return (word, f"digit {word}", f"number {word}")[form % 3]
    if character.isalpha():
        case = "capital" if character.isupper() else "small"
        return (character, f"letter {character}", f"{case} letter {character}")[form % 3]
    return SYMBOL_WORDS[character]


def pick(generator: torch.Generator, high: int, n: int) -> list[int]:
    """`n` integers in `[0, high)`."""
    values: list[int] = torch.randint(high, (n,), generator=generator).tolist()
    return values


def spread(generator: torch.Generator, n: int, low: float, high: float) -> Tensor:
    """`n` uniform numbers in `[low, high)`, shaped `(n, 1, 1, 1)` to scale a batch of images."""
    return torch.rand(n, 1, 1, 1, generator=generator) * (high - low) + low


def glyph_weights(glyphs: Glyphs) -> Tensor:
    """How often each bitmap is drawn: families alike (but for the boost), digits `DIGIT_SHARE` of all: `(N,)`."""
    characters, families = torch.from_numpy(glyphs.characters), torch.from_numpy(glyphs.families)
    cell = families * len(CHARACTERS) + characters
    weights = 1.0 / torch.bincount(cell)[cell]
    boost = torch.tensor([HANDWRITTEN_BOOST if name in HANDWRITTEN else 1.0 for name in glyphs.names])
    weights = weights * boost[families]
    digits = characters < 10
    weights[digits] *= DIGIT_SHARE / weights[digits].sum()
    weights[~digits] *= (1 - DIGIT_SHARE) / weights[~digits].sum()
    return weights


def distort(masks: Tensor, generator: torch.Generator) -> Tensor:
    """Vary the strokes' thickness, then bend, shear, turn, scale and shift: `(B, 1, 48, 48)` to `(B, 1, 32, 32)`."""
    n = len(masks)
    blurred = F.avg_pool2d(masks, 5, stride=1, padding=2)
    blurred = blurred / blurred.amax((2, 3), keepdim=True).clamp(min=0.1)  # so that hairlines survive
    threshold = spread(generator, n, 0.08, 0.6)
    varied = ((blurred - threshold) / 0.25 + 0.5).clamp(0, 1)
    masks = torch.where(torch.rand(n, 1, 1, 1, generator=generator) < 0.75, varied, masks)
    angle, shear = spread(generator, n, -0.3, 0.3).flatten(), spread(generator, n, -0.45, 0.45).flatten()
    wide, high = spread(generator, n, 0.75, 1.35).flatten(), spread(generator, n, 0.78, 1.1).flatten()
    shift = spread(generator, 2 * n, -0.12, 0.12).view(n, 2)
    cos, sin = angle.cos(), angle.sin()
    theta = torch.stack(
        [torch.stack([cos * wide, (shear * cos - sin) * high, shift[:, 0]], 1),
         torch.stack([sin * wide, (shear * sin + cos) * high, shift[:, 1]], 1)], 1
    )  # fmt: skip
    grid = F.affine_grid(theta, [n, 1, SIZE, SIZE], align_corners=False)
    knots = torch.randn(n, 2, 5, 5, generator=generator) * spread(generator, n, 0.0, 0.13)
    bend = F.interpolate(knots, size=(SIZE, SIZE), mode="bicubic", align_corners=True)
    return F.grid_sample(masks, grid + bend.permute(0, 2, 3, 1), align_corners=False)


def scan(masks: Tensor, generator: torch.Generator) -> Tensor:
    """Grey scans of glyphs `(B, 1, 32, 32)`: shrunk (most of them to 8 x 8), quantised, enlarged."""
    ink = ((masks - 0.5) / 0.4 + 0.5).clamp(0, 1)
    size = torch.rand(len(masks), generator=generator)
    out = ink.clone()
    for low, high, side in ((0.0, 0.68, 8), (0.68, 0.78, 11), (0.78, 0.9, 16)):
        chosen = (size >= low) & (size < high)
        small = F.adaptive_avg_pool2d(ink[chosen], side)
        small = (small * 16).round() / 16
        out[chosen] = F.interpolate(small, size=(SIZE, SIZE), mode="bicubic", antialias=True).clamp(0, 1)
    out = out / out.amax((2, 3), keepdim=True).clamp(min=0.3) * spread(generator, len(masks), 0.8, 1.0)
    noise = torch.randn(out.shape, generator=generator) * spread(generator, len(masks), 0.0, 0.05)
    return (out + noise).clamp(0, 1).expand(-1, 3, -1, -1)


def colours(
    generator: torch.Generator, n: int, other_than: list[int] | None = None
) -> tuple[Tensor, list[str], list[int]]:
    """`n` jittered colours `(n, 3, 1, 1)`, their names and their indices, never the index in `other_than`."""
    table = torch.tensor(list(COLOURS.values()))
    chosen = torch.randint(len(COLOURS), (n,), generator=generator)
    if other_than is not None:
        step = torch.randint(1, len(COLOURS), (n,), generator=generator)
        chosen = (torch.tensor(other_than) + step) % len(COLOURS)
    rgb = table[chosen] + torch.randn(n, 3, generator=generator) * 0.05
    shade = torch.randint(8, (n,), generator=generator).clamp(max=3) % 3  # plain 6 in 8; dark, light 1 in 8 each
    factors = torch.tensor([factor for _, factor in SHADES])[shade, None]
    rgb = torch.where(shade[:, None] == 2, 0.5 + 0.5 * rgb, rgb * factors)
    names = list(COLOURS)
    indices: list[int] = chosen.tolist()
    labels = [SHADES[s][0] + names[i] for s, i in zip(shade.tolist(), indices, strict=True)]
    return rgb.clamp(0, 1).view(n, 3, 1, 1), labels, indices


def grounds(generator: torch.Generator, n: int) -> tuple[Tensor, list[str], list[int]]:
    """`n` backgrounds `(n, 3, 32, 32)`, what they are called ("striped dark green") and their colours' indices."""
    rgb, labels, indices = colours(generator, n)
    second = (rgb + torch.randn(n, 3, 1, 1, generator=generator) * 0.18).clamp(0, 1)
    kind = torch.randint(len(PATTERNS), (n,), generator=generator)
    axis = torch.linspace(-1, 1, SIZE)
    angle = spread(generator, n, 0.0, 2 * torch.pi)
    along = angle.cos() * axis.view(1, 1, 1, SIZE) + angle.sin() * axis.view(1, 1, SIZE, 1)
    across = -angle.sin() * axis.view(1, 1, 1, SIZE) + angle.cos() * axis.view(1, 1, SIZE, 1)
    pitch = spread(generator, n, 6.0, 20.0)
    stripes, squares = (along * pitch).sin(), (across * pitch).sin()
    coarse = torch.randn(n, 1, 8, 8, generator=generator)
    cloud = F.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear") * 0.6
    grain = cloud + torch.randn(n, 1, SIZE, SIZE, generator=generator) * spread(generator, n, 0.0, 0.8)
    mixes = torch.stack([stripes * 0, along, stripes.sign(), (stripes * squares).sign(), grain])
    mix = mixes[kind, torch.arange(n)].clamp(-1, 1) * 0.5 + 0.5
    images = rgb * (1 - mix) + second * mix
    images = images + torch.randn(images.shape, generator=generator) * spread(generator, n, 0.0, 0.04)
    names = [f"{PATTERNS[k]} {label}" for k, label in zip(kind.tolist(), labels, strict=True)]
    return images.clamp(0, 1), names, indices


class Scenes:
    """Draws batches from a set of glyphs.

    Args:
        glyphs: the bitmaps to draw from.
        seed: of the generator that every draw advances.
    """

    def __init__(self, glyphs: Glyphs, seed: int) -> None:
        self.bitmaps = torch.from_numpy(glyphs.bitmaps)
        self.characters = torch.from_numpy(glyphs.characters)
        self.weights = glyph_weights(glyphs)
        self.generator = torch.Generator().manual_seed(seed)

    def masks(self, rows: Tensor) -> Tensor:
        """Distorted masks of bitmaps `rows` `(B,)`: `(B, 1, 32, 32)`."""
        return distort(self.bitmaps[rows].unsqueeze(1).float() / 255, self.generator)

    def draw(self, batch_size: int) -> Batch:
        """A batch with its fixed shares of grey, coloured and ground scenes."""
        generator = self.generator
        grey, colour = round(batch_size * GREY_SHARE), round(batch_size * COLOUR_SHARE)
        ground = batch_size - grey - colour
        rows = torch.multinomial(self.weights, grey + colour, replacement=True, generator=generator)
        masks = self.masks(rows)
        forms, templates = pick(generator, 6, len(rows)), pick(generator, 840, batch_size)
        named = [name_of(CHARACTERS[c], f) for c, f in zip(self.characters[rows].tolist(), forms, strict=True)]
        back, back_names, back_colours = grounds(generator, colour + ground)
        ink, ink_names, _ = colours(generator, colour, other_than=back_colours[:colour])
        painted = ink * masks[grey:] + back[:colour] * (1 - masks[grey:])
        images = torch.cat([scan(masks[:grey], generator), painted, back[colour:]])
        captions = [
            GREY_TEMPLATES[t % len(GREY_TEMPLATES)].format(g) for t, g in zip(templates, named[:grey], strict=False)
        ]
        for i in range(colour):
            template = COLOUR_TEMPLATES[templates[grey + i] % len(COLOUR_TEMPLATES)]
            captions.append(template.format(named[grey + i], fg=ink_names[i], bg=back_names[i].removeprefix("plain ")))
        for i in range(colour, colour + ground):
            template = GROUND_TEMPLATES[templates[grey + i] % len(GROUND_TEMPLATES)]
            captions.append(template.format(back_names[i].removeprefix("plain ")))
        return Batch(images, captions)

    def digits(self, n: int) -> tuple[Tensor, Tensor]:
        """Grey digits alone, for validation: images `(n, 3, 32, 32)` and labels `(n,)`."""
        rows = torch.multinomial(self.weights * (self.characters < 10), n, replacement=True, generator=self.generator)
        return scan(self.masks(rows), self.generator), self.characters[rows]
