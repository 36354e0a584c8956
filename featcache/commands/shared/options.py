"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Root = Annotated[
    str | None,
    typer.Option(
        help="Where caches and runs live: a folder, or a URL: s3://bucket/prefix, gs:// or az:// "
        "(pip install 'featcache[s3]', gs or az). "
        "Default: $FEATCACHE_HOME, else ~/.cache/featcache.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else there.")]
Device = Annotated[str, typer.Option(help="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1, mps.")]
Model = Annotated[str | None, typer.Option(metavar="DIR", help="Where the encoder is now, if its directory has moved.")]
Pretrained = Annotated[
    str | None, typer.Option(metavar="FILE", help="Where the weights of the encoder are now, if they have moved.")
]
CacheName = Annotated[str, typer.Argument(metavar="CACHE", help="A cache's name (see featcache list), folder or URL.")]
