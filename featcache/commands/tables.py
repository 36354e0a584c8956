"""What the `featcache` commands show: one function a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from featcache.cache.catalogue import Listed
from featcache.cache.reading import Cache, read_manifest
from featcache.encoders.models import ModelInfo
from featcache.extraction.extract import ExtractionReport
from featcache.places.folder import Folder
from featcache.places.home import caches_location
from featcache.verification.verify import Verification


def extraction_table(report: ExtractionReport, root: str | None) -> Table:
    """What `extract` did under the root that was given."""
    cache, total = report.cache, sum(report.cache.rows.values())
    table = _facts(f"Cache {cache.name}")
    if report.encoded:
        rate = report.images_per_second or 0.0
        table.add_row("encoded", f"{report.encoded:,} images in {report.encoding_seconds:.1f} s ({rate:,.0f} images/s)")
        if report.resumed:
            table.add_row("found done", f"{report.resumed:,} images")
    else:
        done = f"all {report.resumed:,} readable images" if report.skipped else f"all {total:,} images"
        table.add_row("nothing to do", f"{done} were encoded before ({report.seconds:.2f} s to check)")
    if report.skipped:
        table.add_row("unreadable", f"{report.skipped:,} images; `featcache info {cache.name}` lists them")
    table.add_row("rows", _counts(cache.rows))
    table.add_row("splits", _split_origin(cache.manifest["provenance"]["split"]))
    table.add_row("classes", f"{len(cache.class_names)}: {_shortened(cache.class_names)}")
    table.add_row("encoder", _encoder(cache.encoder))
    if cache.encoder["pretrained"] == "random":
        warning = Text("random weights", style="bold red")
        table.add_row(warning, "good for measuring speed only; accuracies mean nothing")
    table.add_row("prompts", f"{cache.text.name}: {cache.text.prompts[0][0]}")
    table.add_row("where", cache.path)
    if {"train", "test"} <= set(cache.splits):
        table.add_row("next", _next_command(cache, root))
    return table


def cache_list_json(caches: Sequence[Listed]) -> dict[str, Any]:
    """The object that `featcache list --json` prints."""
    return {
        "caches": [
            {"name": cache.name, "path": cache.path, "problem": cache.problem}
            if cache.problem
            else {
                "name": cache.name,
                "path": cache.path,
                "dataset": cache.manifest["identity"]["dataset"]["name"],
                "architecture": cache.manifest["identity"]["encoder"]["architecture"],
                "pretrained": cache.manifest["identity"]["encoder"]["pretrained"],
                "rows": cache.manifest["plan"]["rows"],
                "done": cache.done(),
                "finished": cache.finished,
                "digest": cache.manifest["digest"],
            }
            for cache in caches
        ]
    }


def cache_list_table(caches: Sequence[Listed], root: str | Path | None) -> Table | str:
    """The caches under a root."""
    if not caches:
        return f"No caches under {caches_location(root)}. Make one: featcache extract --model tiny --dataset digits"
    table = Table(
        "name", "data set", "encoder", "rows", "finished (UTC)", title=f"Caches under {caches_location(root)}"
    )
    for cache in caches:
        if cache.problem:
            table.add_row(cache.name, Text(cache.problem, style="red"))
            continue
        identity, total = cache.manifest["identity"], sum(cache.manifest["plan"]["rows"].values())
        state = cache.finished or Text(f"{cache.done():,} of {total:,} done", style="yellow")
        table.add_row(cache.name, identity["dataset"]["name"], _encoder(identity["encoder"]), f"{total:,}", state)
    return table


def cache_info(folder: Folder) -> dict[str, Any]:
    """The object that `featcache info --json` prints: the manifest, the completion, prompt sets, unreadable images."""
    from featcache.extraction.add_text import summary

    bad = [entry for name in folder.names("bad") for entry in folder.read_json(f"bad/{name}")]
    return {
        "path": folder.location,
        **read_manifest(folder),
        "complete": folder.read_json("complete.json") if folder.exists("complete.json") else None,
        "prompt_sets": summary(folder),
        "unreadable": bad,
    }


def cache_info_table(info: Mapping[str, Any]) -> Table:
    """What a cache holds and what it was made from."""
    identity, plan = info["identity"], info["plan"]
    table = _facts(f"Cache {info['name']}")
    table.add_row("where", info["path"])
    table.add_row("finished", info["complete"]["finished"] if info["complete"] else Text("not yet", style="yellow"))
    table.add_row("data set", identity["dataset"]["name"])
    table.add_row("rows", _counts(plan["rows"]))
    table.add_row("splits", _split_origin(info["provenance"]["split"]))
    table.add_row("images", info["request"]["images"]["location"])
    classes = identity["dataset"]["class_names"]
    table.add_row("classes", f"{len(classes)}: {_shortened(classes)}")
    table.add_row("encoder", _encoder(identity["encoder"]))
    table.add_row("stored", f"{identity['encoder']['dim']} numbers a row, {identity['dtype']}, not normalised")
    views = identity["views"]
    table.add_row("views", f"{views['count']} of each image in {views['split']}" if views else "none")
    table.add_row("shards", f"{plan['rows_per_shard']:,} rows each, batches of {identity['batch_size']}")
    for place, prompts in enumerate(info["prompt_sets"]):
        default = "" if place else " (default)"
        table.add_row(f"prompts: {prompts['name']}", f"{prompts['prompts']}, such as: {prompts['example']}{default}")
    table.add_row("digest", info["digest"])
    for entry in info["unreadable"][:20]:
        table.add_row(Text("unreadable", style="yellow"), f"{entry['id']}: {entry['reason']}")
    if len(info["unreadable"]) > 20:
        table.add_row("", f"and {len(info['unreadable']) - 20} more (--json lists all)")
    return table


def verification_table(found: Verification, cache: str) -> Table:
    """What `verify` found in the cache of that name."""
    if found.repaired:
        title = Text("Unfinished now: type the same `featcache extract` command", style="bold yellow")
    elif found.damaged:
        title = Text("Damaged", style="bold red")
    elif found.problems:
        title = Text("Unfinished", style="bold yellow")
    else:
        title = Text("Complete and undamaged", style="bold green")
    table = _facts(title)
    table.add_row("rows checked", _counts(found.rows))
    if found.unreadable:
        table.add_row("unreadable", f"{found.unreadable:,} images; `featcache info {cache}` lists them")
    if found.sampled:
        difference = f"largest 1 - cosine {found.largest_difference or 0.0:.1g}"
        table.add_row("encoded again", f"{found.sampled} rows, {found.identical} identical to the bit, {difference}")
    for problem in found.problems[:20]:
        table.add_row(Text("problem", style="red"), problem)
    if len(found.problems) > 20:
        table.add_row("", f"and {len(found.problems) - 20} more (--json lists all)")
    if found.repaired:
        table.add_row("removed", "what is damaged or unreadable")
    elif found.damaged:
        table.add_row("to mend", f"type `featcache verify {cache} --repair`, then the same `featcache extract` command")
    return table


def prompt_sets_table(result: Mapping[str, Any]) -> Table:
    """The prompt sets of a cache after adding one."""
    table = Table("prompt set", "prompts", "example", title=f"Added {result['added']}")
    for prompts in result["sets"]:
        default = " (default)" if prompts["name"] == result["default"] else ""
        table.add_row(prompts["name"] + default, str(prompts["prompts"]), prompts["example"])
    return table


def dataset_list_json() -> dict[str, Any]:
    """The object that `featcache datasets --json` prints."""
    from featcache.datasets import list_cards

    keys = ("name", "title", "classes", "splits", "licence", "source", "embedded")
    return {"datasets": [{key: getattr(card, key) for key in keys} for card in list_cards()]}


def dataset_list_table(found: Mapping[str, Any]) -> Table:
    """The data sets that are known by name."""
    table = Table("name", "data set", "classes", "train / val / test", "licence")
    for card in found["datasets"]:
        rows = " / ".join(f"{n:,}" for n in card["splits"].values()) if card["splits"] else "seeded split"
        table.add_row(card["name"], card["title"], str(card["classes"]), rows, card["licence"])
    table.caption = "Any folder of class folders and any CSV of path,label[,split] works too."
    return table


def model_json(model: ModelInfo) -> dict[str, Any]:
    """The object that `featcache models MODEL --json` prints."""
    return {
        "architecture": model.architecture,
        "pretrained": model.pretrained,
        "quick_gelu": model.quick_gelu,
        "image_size": model.image_size,
        "dim": model.dim,
        "tags": list(model.tags),
    }


def model_table(model: ModelInfo) -> Table:
    """One encoder."""
    table = _facts(model.architecture)
    table.add_row("pretrained", model.pretrained)
    table.add_row("activation", "QuickGELU" if model.quick_gelu else "GELU")
    table.add_row("image size", f"{model.image_size} pixels")
    table.add_row("embedding", f"{model.dim} numbers")
    table.add_row("tags", ", ".join(model.tags) or "none")
    return table


def model_list_table(models: Sequence[tuple[str, Sequence[str]]]) -> Table:
    """All encoders."""
    table = Table("model", "pretrained tags")
    for name, tags in models:
        table.add_row(name, ", ".join(tags))
    return table


def _facts(title: str | Text) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _counts(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{split} {count:,}" for split, count in rows.items())


def _encoder(encoder: Mapping[str, Any]) -> str:
    name = Path(encoder["architecture"]).name
    return name if encoder["pretrained"] == "local" else f"{name} ({encoder['pretrained']})"


def _split_origin(origin: Mapping[str, Any]) -> str:
    """How the splits came about, in words."""
    if "fractions" in origin:
        shares = ", ".join(f"{100 * share:.0f} % {split}" for split, share in origin["fractions"].items())
        return f"made here: {shares}, class by class, seed {origin['seed']}"
    made = origin.get("val")
    carved = f"; val is {100 * made['fraction_of_train']:.0f} % of train, seed {made['seed']}" if made else ""
    return str(origin.get("file", origin["from"])) + carved


def _next_command(cache: Cache, root: str | None) -> str:
    """What to type to fit a first head: with as many shots as every class has, at most 4."""
    counts = np.bincount(cache["train"].labels[cache["train"].valid], minlength=len(cache.class_names))
    place = f" --root {root}" if root else ""
    return f"adapters fit clip --shots {min(4, max(1, int(counts.min())))} --cache {cache.name}{place}"


def _shortened(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
