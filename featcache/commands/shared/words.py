"""Facts of a cache in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from featcache.datasets.readers.image_files import HEIF_EXTENSIONS, reads_heif
from featcache.origin import SAID, imported
from featcache.show.page import Styled


def counts(rows: Mapping[str, int]) -> str:
    """`train 1,078, test 360`."""
    return ", ".join(f"{split} {count:,}" for split, count in rows.items())


def images(count: int) -> str:
    """`1 image`, `1,078 images`."""
    return f"{count:,} image{'' if count == 1 else 's'}"


def encoder(identity: Mapping[str, Any]) -> str:
    """`ViT-B-16 (openai)`; weights beside the architecture need no name. Where nothing proves it, that is said."""
    name = Path(identity["architecture"]).name
    told = name if identity["pretrained"] == "local" else f"{name} ({identity['pretrained']})"
    return f"{told}, as said" if identity.get("origin") == SAID else told


def classes(names: Sequence[str], most: int = 5) -> str:
    """How many, and the first of them."""
    if not names:
        return "none: no image has a label, and --class-names cat,dog was not given"
    return f"{len(names)}: " + ", ".join(names[:most]) + (", …" if len(names) > most else "")


def decoded(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """That pictures were decoded fast, and how near the embeddings are; nothing where they were decoded exactly."""
    near = manifest.get("cosine_to_exact")
    if near is None:
        return []
    told = f"cosine to exact decoding {near['mean']:.5f} on average, {near['least']:.5f} at least"
    return [("decode fast", f"{told}, over {near['images']} images")]


def origin(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """That embeddings were made elsewhere, and what is not known of them; nothing where they were encoded here."""
    found = imported(manifest)
    if found is None:
        return []
    known = f"; not known: {', '.join(found['not_known'])}" if found["not_known"] else ""
    return [(Styled("imported", "yellow"), f"from {found['file']} ({found['format']}){known}")]


def stored(manifest: Mapping[str, Any]) -> str:
    """How embeddings are stored."""
    identity, found = manifest["identity"], imported(manifest)
    unit = "normalised before they came here" if found and found["normalised"] else "not normalised"
    return f"{identity['encoder']['dim']} numbers a row, {identity['dtype']}, {unit}"


def split_origin(origin: Mapping[str, Any]) -> str:
    """How the splits came about."""
    if "fractions" in origin:
        shares = ", ".join(f"{100 * share:.0f} % {split}" for split, share in origin["fractions"].items())
        how = "class by class, " if origin["from"] == "seeded stratified" else ""
        return f"made here: {shares}, {how}seed {origin['seed']}{_kept(origin)}"
    made = origin.get("val")
    carved = f"; val is {100 * made['fraction_of_train']:.0f} % of train, seed {made['seed']}" if made else ""
    test = f"; test is {origin['test']}" if "test" in origin else ""
    return str(origin.get("file", origin["from"])) + test + carved + _kept(origin)


def _kept(origin: Mapping[str, Any]) -> str:
    """How many images stayed where other caches have them."""
    if "kept" not in origin:
        return ""
    caches = ", ".join(cache["name"] for cache in origin["kept"]["caches"])
    return f"; {origin['kept']['images']:,} images stay where {caches} had them"


def left_out(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Why files of the source are in no split, or how their names end, and how many."""
    return dict(manifest["provenance"].get("left_out", {}))


def left_out_paths(manifest: Mapping[str, Any]) -> dict[str, list[str]]:
    """The first of these files, by the same words, where the source has files; caches of older versions name none."""
    return dict(manifest["provenance"].get("left_out_paths", {}))


def _first(paths: Sequence[str], count: int, most: int = 3) -> str:
    """`: a.pdf, b.pdf, …`; nothing where no path is known."""
    return ": " + ", ".join(paths[:most]) + (", …" if count > most else "") if paths else ""


def left_out_words(manifest: Mapping[str, Any]) -> list[str]:
    """The same in lines, with the first paths: `12 .pdf, 3 .svg: cat/a.pdf, …`, `1 image in no class folder: a.png`."""
    counts, paths = left_out(manifest), left_out_paths(manifest)
    others = {ending: n for ending, n in counts.items() if ending.startswith(".")}
    lines = [f"{images(n)} {why}{_first(paths.get(why, []), n)}" for why, n in counts.items() if why not in others]
    if others:
        told = (f"{others[one]:,} {one if one != '.' else 'without an ending'}" for one in sorted(others))
        phones = not reads_heif() and set(others) & set(HEIF_EXTENSIONS)
        named = _first([path for one in sorted(others) for path in paths.get(one, [])], sum(others.values()))
        lines.append(", ".join(told) + named + ("; pip install 'featcache[heif]' lets .heic be read" if phones else ""))
    return lines
