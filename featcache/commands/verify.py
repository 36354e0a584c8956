"""`featcache verify`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featcache.commands.shared.options import CacheName, Device, Json, Root
from featcache.commands.shared.show import show
from featcache.commands.shared.words import counts, images
from featcache.places.again import again
from featcache.show.page import Facts, Page, Styled

if TYPE_CHECKING:
    from featcache.verification.found import Verification

MOST = 20
"""Problems that are listed."""


def verify(
    cache: CacheName,
    sample: Annotated[int, typer.Option(min=0, help="Rows to encode again and compare; 0 needs no encoder.")] = 64,
    data_root: Annotated[Path | None, typer.Option(help="Where the images are now, if they moved.")] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Remove what is damaged, and try unreadable images anew: the same extract command encodes them again.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Chooses the sample.")] = 0,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Prove that a cache is complete and undamaged, and that a sample of it encodes to the same again.

    Exit status 1 if anything is wrong.
    """
    from featcache.cache.catalogue import locate
    from featcache.verification.verify import verify

    found = verify(locate(cache, root), sample=sample, data_root=data_root, repair=repair, seed=seed, device=device)
    show(found.to_json, lambda: verification_page(found, cache, root), json=json)
    if found.problems or found.repaired:
        raise typer.Exit(1)


def verification_page(found: Verification, cache: str, root: str | None) -> Page:
    """What `verify` found in the cache of that name under the root that was given."""
    where = f"{shlex.quote(cache)}{again(root)}"
    rows = [("rows checked", counts(found.rows))]
    if found.unreadable:
        rows.append(("unreadable", f"{images(found.unreadable)}; `featcache info {where}` lists them"))
    if found.sampled:
        difference = f"largest 1 - cosine {found.largest_difference or 0.0:.1g}"
        compared = f"{found.sampled} rows, {found.identical} identical to the bit, {difference}"
        rows.append(("encoded again", compared))
    elif found.imported:
        rows.append(("encoded again", "nothing: the embeddings were imported, and only what is stored can be checked"))
    rows += [(Styled("problem", "red"), problem) for problem in found.problems[:MOST]]
    if len(found.problems) > MOST:
        rows.append(("", f"and {len(found.problems) - MOST} more (--json lists all)"))
    if found.repaired:
        rows.append(("removed", "what is damaged or unreadable"))
    elif found.damaged:
        remedy = f"type `featcache verify {where} --repair`, then the same `{found.made_by}` command"
        rows.append(("to mend", remedy))
    return Page([Facts(rows, title=_verdict(found))])


def _verdict(found: Verification) -> Styled:
    if found.repaired:
        return Styled(f"Unfinished now: type the same `{found.made_by}` command", "bold yellow")
    if found.damaged:
        return Styled("Damaged", "bold red")
    if found.problems:
        return Styled("Unfinished", "bold yellow")
    return Styled("Complete and undamaged", "bold green")
