"""Glyph bitmaps: characters of many fonts, rendered once, as the raw material of `tiny`'s images.

The fonts are those of the Debian and PyPI packages in `fonts.txt`; `fetch_fonts.sh DIR` unpacks them. Two digests say
whether they are the same ones: one over the font files, one over the rendered bitmaps (which depend on FreeType too).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SUFFIXES = frozenset({".ttf", ".otf"})
#: Families without readable digits or letters.
EXCLUDED = frozenset({"D050000L", "Standard Symbols PS", "Linux Biolinum Keyboard O", "Wargames"})
#: Families that look written by hand; drawn more often than the others, because handwriting varies more than print.
HANDWRITTEN = frozenset(
    {
        "Amatic SC", "AoyagiKouzanFontT", "Because We Build", "Because We Connect", "Because We Create",
        "Because We Learn", "Because We Mentor", "Because We Organize", "Breip", "Comic Neue", "Cupola",
        "Dancing Script", "Delphine", "DkgHandwriting", "Domestic Manners", "Ecolier_court", "El Abogado Loco",
        "Humor Sans", "Intuitive", "It wasn't me", "Joscelyn", "Klaudia", "Kristi", "Penguin Attack", "Rufscript",
        "SetoFont", "Steve", "Tomson Talks", "Yusei Magic", "Z003", "femkeklaver", "kiloji", "kiloji - B",
        "kiloji - D", "kiloji - P", "monofur",
    }
)  # fmt: skip
CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+?!&%#@*"
BITMAP = 48  # side of a bitmap in pixels
MARGIN = 4  # empty border, so that distortions have room


@dataclass(frozen=True)
class Glyphs:
    """All bitmaps of a set of fonts.

    Attributes:
        bitmaps: `(N, 48, 48)` uint8, ink is 255.
        characters: `(N,)` int64, index into `CHARACTERS`.
        families: `(N,)` int64, index into `names`.
        names: font family names, sorted.
    """

    bitmaps: np.ndarray
    characters: np.ndarray
    families: np.ndarray
    names: tuple[str, ...]

    def digest(self) -> str:
        """SHA-256 over bitmaps, characters and family indices."""
        sha = hashlib.sha256()
        for array in (self.bitmaps, self.characters, self.families):
            sha.update(np.ascontiguousarray(array).tobytes())
        return sha.hexdigest()

    def where(self, rows: np.ndarray) -> Glyphs:
        """The glyphs chosen by a boolean or integer `rows`."""
        return Glyphs(self.bitmaps[rows], self.characters[rows], self.families[rows], self.names)


def font_files(folder: Path) -> list[Path]:
    """Font files below `folder`, sorted by name; files of one name (a font in two packages) count once."""
    files = {
        path.name: path
        for path in sorted(folder.rglob("*"), reverse=True)
        if path.suffix in SUFFIXES and path.is_file()
    }
    if not files:
        raise SystemExit(f"no fonts below {folder}; try: sh data/tiny/fetch_fonts.sh {folder}")
    return [files[name] for name in sorted(files)]


def files_digest(files: Sequence[Path]) -> str:
    """SHA-256 over the names and bytes of font files, in the order given."""
    sha = hashlib.sha256()
    for file in files:
        sha.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return sha.hexdigest()


def bitmap(font: ImageFont.FreeTypeFont, character: str) -> np.ndarray | None:
    """One character, cropped to its ink and fitted into the middle: `(48, 48)` uint8, or None where it has no ink."""
    left, top, right, bottom = (int(v) for v in font.getbbox(character))
    canvas = Image.new("L", (max(right - left, 1) + 8, max(bottom - top, 1) + 8))
    ImageDraw.Draw(canvas).text((4 - left, 4 - top), character, font=font, fill=255)
    ink = canvas.getbbox()
    if ink is None:
        return None
    glyph = canvas.crop(ink)
    scale = (BITMAP - 2 * MARGIN) / max(glyph.size)
    width, height = (max(1, round(side * scale)) for side in glyph.size)
    page = Image.new("L", (BITMAP, BITMAP))
    fitted = glyph.resize((width, height), Image.Resampling.BICUBIC)
    page.paste(fitted, ((BITMAP - width) // 2, (BITMAP - height) // 2))
    return np.asarray(page, dtype=np.uint8)


def render(families: Mapping[str, Sequence[ImageFont.FreeTypeFont]]) -> Glyphs:
    """Every character of every font of every family, but what a font lacks (what looks like its 'missing' box)."""
    bitmaps: list[np.ndarray] = []
    characters: list[int] = []
    owners: list[int] = []
    names = tuple(sorted(families))
    for owner, name in enumerate(names):
        for font in families[name]:
            missing = bitmap(font, "\U0010fffd")
            for index, character in enumerate(CHARACTERS):
                image = bitmap(font, character)
                if image is None or (missing is not None and np.array_equal(image, missing)):
                    continue
                bitmaps.append(image)
                characters.append(index)
                owners.append(owner)
    return Glyphs(np.stack(bitmaps), np.array(characters), np.array(owners), names)


def load(files: Sequence[Path], size: int = 72) -> Glyphs:
    """Render the characters of font files at `size` pixels before fitting, grouped by the family that a file names."""
    families: dict[str, list[ImageFont.FreeTypeFont]] = {}
    for file in files:
        font = ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)
        name = font.getname()[0] or file.stem
        if name not in EXCLUDED:
            families.setdefault(name, []).append(font)
    return render(families)
