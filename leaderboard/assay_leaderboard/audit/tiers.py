"""How well ranks at the cheap lite tier predict ranks at the standard tier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from assay.cards import FAMILIES, Family
from assay.ruleset import Ruleset, Tier

from assay_leaderboard.boards.family_ranking import summarise
from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.schema.values import Floats, Interval, Part
from assay_leaderboard.statistics.bootstrap import resamples

MIN_METHODS = 4
"""With three methods Kendall's tau takes only four values."""


class TierAgreement(Part):
    """One family: its lite scores against its standard scores."""

    family: Family
    methods: list[str]
    """Those with every task of both tiers."""
    n_lite: int
    """Tasks."""
    n_standard: int
    tau: float | None
    """Kendall's tau-b of the two tiers' interquartile means."""
    interval: Interval | None
    """Percentile interval over resampled methods."""
    note: str
    """Why there is no tau; empty if there is."""


def calibrate(tasks: Sequence[TaskComparisons], ruleset: Ruleset) -> list[TierAgreement]:
    """The agreement in each family that has records, in the order of assay.cards.FAMILIES."""
    present = {task.card.family for task in tasks}
    return [_family(family, tasks, ruleset) for family in FAMILIES if family in present]


def _family(family: Family, tasks: Sequence[TaskComparisons], ruleset: Ruleset) -> TierAgreement:
    lite, n_lite = _scores(family, "lite", tasks)
    standard, n_standard = _scores(family, "standard", tasks)
    methods = sorted(lite.keys() & standard.keys())
    tau = interval = None
    note = ""
    for n, tier in ((n_lite, "lite"), (n_standard, "standard")):
        if not n:
            note = f"not measurable: no {tier} results"
    if not note and len(methods) < MIN_METHODS:
        note = f"not measurable: {len(methods)} methods have both, expected {MIN_METHODS} or more"
    if not note:
        x, y = (np.array([scores[m] for m in methods]) for scores in (lite, standard))
        tau, interval = kendall(x, y, family, ruleset)
        note = "" if tau is not None else "not measurable: all methods tie"
    return TierAgreement(
        family=family,
        methods=methods,
        n_lite=n_lite,
        n_standard=n_standard,
        tau=tau,
        interval=interval,
        note=note,
    )


def _scores(
    family: Family, tier: Tier, tasks: Sequence[TaskComparisons]
) -> tuple[dict[str, float], int]:
    """Interquartile means of methods with all tasks of a tier, and the number of these tasks."""
    work = [c for c in tasks if c.card.family == family and c.card.tier == tier]
    if not work:
        return {}, 0
    summary = summarise(family, work)
    found = {row.method: row.iqm for row in summary.rows if row.iqm is not None}
    return found, len(summary.tasks)


def kendall(
    x: Floats, y: Floats, stratum: str, ruleset: Ruleset
) -> tuple[float | None, Interval | None]:
    """Kendall's tau-b of x (m,) and y (m,), with a bootstrap interval over the m methods.

    A resample in which all methods tie has no tau and is left out.
    """
    m = len(x)
    tau = _tau_b(x, y, np.ones((1, m)))
    if not len(tau):
        return None, None
    indices = resamples(ruleset.seed_root, f"tiers {stratum}", m, ruleset.bootstrap_draws)
    counts = np.stack([(indices == method).sum(axis=0) for method in range(m)], axis=1)
    tail = (1 - ruleset.confidence) / 2
    low, high = np.quantile(_tau_b(x, y, counts.astype(np.float64)), [tail, 1 - tail])
    return float(tau[0]), Interval(low=float(low), high=float(high))


def _tau_b(x: Floats, y: Floats, counts: Floats) -> Floats:
    """Tau-b of each resample, where it is defined.

    Source: Kendall, "The treatment of ties in ranking problems", Biometrika 1945. All sums are of
    whole numbers, so they are exact.

    Args:
        x: (m,) first values of the methods.
        y: (m,) second values.
        counts: (draws, m) how often each resample holds each method.
    """
    sign_x, sign_y = (np.sign(values[:, np.newaxis] - values) for values in (x, y))

    def total(pairs: Floats) -> Floats:
        weighed: Floats = ((counts @ pairs) * counts).sum(axis=1)
        return weighed

    untied = total(sign_x**2) * total(sign_y**2)
    some = untied > 0
    found: Floats = total(sign_x * sign_y)[some] / np.sqrt(untied[some])
    return found
