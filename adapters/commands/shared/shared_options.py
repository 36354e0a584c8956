"""Options that several commands share; those of `featcache` besides are in `featcache.commands.shared.options`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from adapters.errors import AdapterError
from adapters.selection.regimes import REGIMES
from adapters.tasks.all_shots import ALL
from adapters.tasks.all_shots import Shots as ShotsAsked
from featcache.commands.shared.choices import choice

Method = Annotated[str, typer.Argument(metavar="METHOD", help="A method's name; `adapters list` shows all.")]
Joined = Annotated[
    list[str] | None,
    typer.Option(
        "--cache",
        help="A cache's name, folder or URL; several, of the same images by different encoders, are joined. Default: "
        "the one extracted last.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="W,W…|auto",
        help="Of joined caches, in their order: each encoder's share, such as 0.3,0.7; auto: chosen on what --select "
        "allows, the shots unless it says otherwise. Default: equal.",
    ),
]
Prompts = Annotated[str | None, typer.Option(help="A prompt set of the cache. Default: its default one.")]
AllowFewer = Annotated[
    bool, typer.Option("--allow-fewer", help="Use a class that has fewer images than --shots as it is.")
]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="A CSV of id,label with mended labels; an empty label leaves the image out (adapters audit --csv)."
    ),
]
Shots = Annotated[
    str, typer.Option(help="Numbers of labelled images a class; or all: every labelled training image, with one seed.")
]
Seeds = Annotated[str, typer.Option(help="Each is a draw of shots and the seed of the training.")]
Prior = Annotated[
    str | None,
    typer.Option(
        metavar="uniform|em|bbse|FILE.csv",
        help="Answer as if classes were so frequent: equally, as the unlabelled images say (em; bbse by the head's "
        "mistakes on val or shots), or as a CSV of class,share says. em and bbse look at all images together.",
    ),
]
Transductive = Annotated[
    bool,
    typer.Option(
        "--transductive", help="Answer all images together, as a mixture that starts at the head's class rows."
    ),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's name (see adapters runs) or folder.")]


def select_option(help: str) -> Any:
    """The option that names a regime."""
    return choice(of=REGIMES, help=help, meanings={name: regime.meaning for name, regime in REGIMES.items()})


def shots_given(text: str) -> ShotsAsked:
    """The number of shots that was typed, or all.

    Raises:
        AdapterError: it is neither.
    """
    if text == ALL:
        return ALL
    if not text.isdecimal() or int(text) < 1:
        raise AdapterError(f"--shots {text}: expected images a class, 1 or more, such as --shots 4, or --shots all")
    return int(text)


def draws_given(shots: str, seeds: str) -> tuple[list[int] | Literal["all"], list[int]]:
    """The numbers of shots and the seeds that were typed; with all images there is nothing to draw, and one seed.

    Raises:
        AdapterError: they are no whole numbers, or all stands among numbers.
    """
    every = numbers("--seeds", seeds)
    if ALL not in shots.split(","):
        return numbers("--shots", shots), every
    if shots != ALL:
        raise AdapterError(f"--shots {shots}: all goes alone, as it asks for another number of images of each class")
    return ALL, every[:1]


def numbers(option: str, text: str) -> list[int]:
    """The numbers of `1,4,16`.

    Raises:
        AdapterError: they are no whole numbers; names the option.
    """
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        raise AdapterError(f"{option} {text}: expected whole numbers, such as {option} 1,4,16") from error
