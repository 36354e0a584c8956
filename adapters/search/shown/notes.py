"""What stands above and below the table: what was searched, what chose, where the grid was too narrow."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.search.facts import Chosen, Facts
from adapters.search.grid import Grid
from adapters.selection.refit import FOLDS


def title(facts: Facts) -> str:
    """Method, cache, encoder, regime and seeds in one line."""
    encoder = f"{facts.model.rsplit('/', 1)[-1]} ({facts.pretrained})"
    seeds = f"ONE SEED ({facts.seeds[0]})" if len(facts.seeds) == 1 else f"seeds {', '.join(map(str, facts.seeds))}"
    return f"search {facts.method} · {facts.cache_name} · {encoder} · select: {facts.regime.title} · {seeds}"


def notes(facts: Facts, grid: Grid, chosen: Sequence[Chosen]) -> list[str]:
    """One sentence or two each, in the order in which a reader needs them."""
    regime = facts.regime
    chosen_on = f"the K shots themselves, held out in {FOLDS} folds" if regime.on_shots else regime.meaning
    honest = f"Chosen on {chosen_on}; test labels chose nothing."
    spread = f"mean ± sample standard deviation over seeds {', '.join(map(str, facts.seeds))}"
    if len(facts.seeds) == 1:
        spread = f"ONE SEED ({facts.seeds[0]}): no spread is known"
    found = [
        *([f"Joined: {facts.joined}."] if facts.joined else []),
        *([f"{regime.warning}." if regime.warning else honest] if any(each.outcomes for each in chosen) else []),
        f"Test accuracy in %, {spread}. By default: the method as it comes, what `adapters fit {facts.method}` "
        "gives. Less zero-shot: 95 % interval of the chosen less zero-shot, paired. Selection: accuracy of the chosen "
        "on the rows that chose them, the best of all that were tried.",
    ]
    if grid.alpha_range:
        lo, hi = grid.alpha_range
        found.append(f"Every alpha from {lo:g} to {hi:g} was scored exactly: it only blends what was fitted.")
    if facts.halving:
        whole = [outcome for each in chosen for outcome in each.outcomes.values()]
        stopped = sum(outcome.stopped_at is not None for outcome in whole)
        found.append(
            f"Successive halving: {stopped:,} of {len(whole):,} settings were given up before the last step; "
            "those that tie with the best third went on."
        )
    if tied := sum(_all_tied(each) for each in chosen):
        found.append(f"In {tied} of {len(chosen)} draws no setting did better than another: the first was taken.")
    if unchosen := sorted({each.shots for each in chosen if each.number is None}):
        shots = f"{', '.join(map(str, unchosen))} shot{'' if unchosen == [1] else 's'}"
        found.append(
            f"With {shots} a class nothing can be chosen on the support: options with several values stay at their "
            "defaults."
        )
    return [*found, *_edges(grid, [each for each in chosen if each.number is not None and not _all_tied(each)])]


def _all_tied(chosen: Chosen) -> bool:
    """Whether all settings of a draw got equally many rows right, with no alpha to tell them apart."""
    outcomes = chosen.outcomes.values()
    return len({outcome.correct for outcome in outcomes}) == 1 < len(outcomes) and not any(o.alphas for o in outcomes)


def _edges(grid: Grid, chosen: Sequence[Chosen]) -> list[str]:
    """Options of which the largest or smallest value did best in a third of the draws, if the method takes others."""
    found = []
    for name in grid.varied:
        values = grid.options[name]
        if not all(type(value) in (int, float) for value in values):
            continue
        lo, hi = min(values), max(values)
        # Where every alpha is as good as another, none says that there is more to be had beyond the ends.
        best = [{each.setting[name], *(each.interval or ()) * (name == "alpha")} for each in chosen]
        best = [each for each in best if not {lo, hi} <= each]
        told = []
        for word, edge, beyond in (("largest", hi, 1.1), ("smallest", lo, 0.9)):
            at = sum(edge in each for each in best)
            if edge and at and 3 * at >= len(chosen) and grid.takes(name, edge * beyond):
                told.append(
                    f"In {at} of {len(chosen)} draws the {word} {name} tried, {edge:g}, was among the best: "
                    "try others beyond it."
                )
        found += told if len(told) == 1 else []  # draws that go both ways say nothing
    return found
