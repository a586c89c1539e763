"""Several tasks: normalised scores of the methods that cover them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from leaderboard import aggregate, multiple, paired
from leaderboard.contest import Contest
from leaderboard.evidence import Cell
from leaderboard.tables import Basis, Summary, SummaryRow


def summarise(name: str, work: Sequence[Contest]) -> Summary:
    """Methods over the anchored tasks of `work`; a method that lacks one is listed, not ranked.

    Which tasks count depends on the references alone, so no other entry moves anybody's score.
    """
    anchored = {task.card.slug: task for task in work if task.anchors}
    cells_of: dict[str, dict[str, Cell]] = {}
    for task in work:
        for cell in task.cells:
            if not cell.stale:
                cells_of.setdefault(cell.method, {})
        for cell in task.ranked if task.card.slug in anchored else ():
            cells_of[cell.method][task.card.slug] = cell
    full = [m for m in sorted(cells_of) if anchored and len(cells_of[m]) == len(anchored)]
    results = {
        method: aggregate.aggregate(_normalised(anchored, cells_of[method]), work[0].ruleset)
        for method in full
    }
    margins = [task.card.metric.margin / task.anchors.gap for task in work if task.anchors]
    margin = float(np.mean(margins)) if margins else None
    beats = aggregate.beats(list(results.values()), margin or 0.0, work[0].ruleset.alpha)
    ranks = dict(zip(results, multiple.rank_intervals(beats), strict=True))
    rows = [
        _summary_row(method, anchored, cells_of[method], results.get(method), ranks.get(method))
        for method in cells_of
    ]
    return Summary(
        name=name,
        margin=margin,
        tasks=list(anchored),
        unanchored=[task.card.slug for task in work if task.card.slug not in anchored],
        rows=sorted(rows, key=lambda row: (row.iqm is None, -(row.iqm or 0.0), row.method)),
    )


def _normalised(
    tasks: Mapping[str, Contest], found: Mapping[str, Cell], basis: Basis | None = None
) -> dict[str, paired.Floats]:
    """Normalised scores {task: (n,)} of a method; its defaults' where `basis` says so."""
    scores = {}
    for slug, cell in found.items():
        task = tasks[slug]
        repetitions = cell.defaults if basis == "defaults" else task.sample(cell)
        if task.anchors:
            scores[slug] = task.anchors.normalised(repetitions.values)
    return scores


def _summary_row(
    method: str,
    tasks: Mapping[str, Contest],
    found: Mapping[str, Cell],
    result: aggregate.Aggregate | None,
    rank: tuple[int, int] | None,
) -> SummaryRow:
    defaults = None
    if result and all(cell.defaults.complete for cell in found.values()):
        scores = _normalised(tasks, found, "defaults")
        defaults = float(np.mean([values.mean() for values in scores.values()]))
    n = sum(len(tasks[slug].sample(cell).scores) for slug, cell in found.items())
    varied = result if n > len(found) else None  # single repetitions leave nothing to resample
    return SummaryRow(
        method=method,
        n_tasks=len(found),
        n=n,
        preliminary=any(cell.preliminary for cell in found.values()),
        iqm=result.iqm if result else None,
        iqm_interval=varied.iqm_interval if varied else None,
        mean=result.mean if result else None,
        mean_interval=varied.mean_interval if varied else None,
        defaults_mean=defaults,
        rank=rank,
    )
