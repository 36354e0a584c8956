"""What stands above and below the table: what was done, what chose, how ties were found, what went another way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from adapters.bench.formats.cells import BEST, LESS_BEST, LESS_ZERO_SHOT, MARKS, TIED
from adapters.bench.protocols.learning import CONTINUED, HOW
from adapters.bench.protocols.protocols import PROTOCOLS
from adapters.bench.protocols.settings import Settings
from adapters.bench.significance import RESAMPLES
from adapters.bench.store import Record
from adapters.bench.summary import Block
from adapters.methods import BASELINE
from adapters.metrics import LEVEL


def title(settings: Settings, records: Sequence[Record], seeds: Sequence[int]) -> str:
    """Protocol, data, encoder, regime and seeds in one line."""
    datasets = ", ".join(dict.fromkeys(record.row.cache for record in records))
    encoders = ", ".join(dict.fromkeys(f"{r.row.model.rsplit('/', 1)[-1]} ({r.row.pretrained})" for r in records))
    drawn = f"ONE SEED ({seeds[0]})" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
    calibrated = " · calibrated" if settings.calibrate else ""
    return f"{settings.protocol} · {datasets} · {encoders} · select: {settings.select_title} · {drawn}{calibrated}"


def notes(
    settings: Settings,
    records: Sequence[Record],
    blocks: Sequence[Block],
    seeds: Sequence[int],
    failures: Iterable[str],
) -> list[str]:
    """One sentence or two each, in the order in which a reader needs them."""
    spread = (
        f"ONE SEED ({seeds[0]}): no spread is known, and few-shot accuracy can move by points with the draw."
        if len(seeds) == 1
        else f"Test accuracy in %, mean ± sample standard deviation over seeds {', '.join(map(str, seeds))}."
    )
    sampled = "test images" if len(seeds) == 1 else "test images and of seeds"
    found = [
        f"{settings.protocol}: {PROTOCOLS[settings.protocol].meaning}.",
        spread,
        _chosen(settings),
        f"Bold, or {BEST}: the best of a column. {TIED}: cannot be told from it: the {100 * LEVEL:.0f} % interval of "
        f"the difference contains 0 in a paired bootstrap ({RESAMPLES:,} resamples of {sampled}, the same for all "
        "methods; not corrected for the number of methods).",
    ]
    found += _joined(records)
    found += filter(None, [PROTOCOLS[settings.protocol].about(settings)])
    used = dict.fromkeys(record.row.how for record in records)
    found += [f"{MARKS[how]} {HOW[how]}." for how in HOW if how in used and how in MARKS]
    if CONTINUED in used:
        found.append(f"Without a mark: {HOW[CONTINUED]}.")
    cost = dict.fromkeys(block.cost for block in blocks)
    found.append(
        f"{LESS_ZERO_SHOT} and {LESS_BEST}: {100 * LEVEL:.0f} % intervals of the same bootstrap, in points. ECE: 15 "
        f"bins, in %, mean over seeds; s/fit: median seconds, selection included. All of {', '.join(cost)}."
    )
    if settings.calibrate:
        found.append(
            "Probabilities are of a temperature that was fitted on what the regime allows; where a method is scored by "
            "text or adapted online, they are as the encoder scales them."
        )
    return [*found, *_of_rows(records), *failures]


def _joined(records: Sequence[Record]) -> list[str]:
    """Which caches were joined with which weights."""
    every = list(dict.fromkeys(record.row.joined for record in records if record.row.joined))
    if len(every) < 2:
        return [f"Joined: {each}." for each in every]
    return [f"Joined with weights of each fit's own, which stand in the column joined; the first: {every[0]}."]


def _chosen(settings: Settings) -> str:
    """What chose the hyper-parameters."""
    regime = settings.regime
    if regime is None:
        return "Hyper-parameters were chosen as each method declares (column select); test labels chose nothing."
    return f"{regime.warning}." if regime.warning else f"Hyper-parameters were chosen on {regime.meaning}."


def _of_rows(records: Sequence[Record]) -> list[str]:
    """Every note of a row once, with the methods and shots that it is about."""
    about: defaultdict[str, dict[str, dict[int, None]]] = defaultdict(dict)
    for record in records:
        row = record.row
        if row.method == BASELINE:  # has nothing to choose, and nobody expects it to
            continue
        for note in filter(None, row.note.split("; ")):
            about[note].setdefault(row.method, {})[row.shots] = None
    everything = {record.row.method for record in records} - {BASELINE}
    lines = []
    for note, methods in about.items():
        who = "all methods" if set(methods) == everything else ", ".join(methods)
        shots = ", ".join(map(str, sorted({k for of_method in methods.values() for k in of_method})))
        lines.append(f"{who} ({shots} {'shot' if shots == '1' else 'shots'}): {note}.")
    return lines
