"""How well ranks at the cheap lite tier predict ranks at the standard tier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from assay.cards import FAMILIES
from assay.ruleset import Ruleset, Tier

from assay_leaderboard.schema.board import FamilySummary
from assay_leaderboard.schema.values import Floats, Interval, Part
from assay_leaderboard.statistics.bootstrap import resamples

MIN_METHODS = 4
"""With three methods Kendall's tau takes only four values."""
OVERALL: Final = "overall"
UNKNOWN = "not measurable: "
"""Before the reason why there is no tau."""


class TierAgreement(Part):
    """A family, or "overall": its lite scores against its standard scores."""

    family: str
    methods: list[str]
    """Those with a score at both tiers."""
    n_lite: int
    """Tasks with an anchor."""
    n_standard: int
    tau: float | None
    """Kendall's tau-b of the two tiers' scores."""
    interval: Interval | None
    """Percentile interval over resampled methods."""
    note: str
    """Why there is no tau; empty if there is."""


def calibrate(summaries: Iterable[FamilySummary], ruleset: Ruleset) -> list[TierAgreement]:
    """The agreement in each family that has results, and over all families where it has more.

    Args:
        summaries: of the board, of all tiers.
        ruleset: seeds, level and number of resamples.

    Returns:
        In the order of assay.cards.FAMILIES, "overall" last.
    """
    found: dict[str, dict[Tier, FamilySummary]] = {}
    for summary in summaries:
        name = OVERALL if len(summary.families) > 1 else summary.families[0]
        found.setdefault(name, {})[summary.tier] = summary
    return [
        _agreement(name, found[name], ruleset) for name in (*FAMILIES, OVERALL) if name in found
    ]


def sentence(found: Sequence[TierAgreement], confidence: float) -> str:
    """What the lite tier predicts, in plain words for the home page; empty if nothing was asked."""
    if not found:
        return ""
    known = [item for item in found if item.tau is not None]
    if not known:
        why = found[-1].note.removeprefix(UNKNOWN)
        return f"Whether lite ranks predict standard ranks is not known: {why}."
    shown = [item for item in known if item.interval and item.interval.low > 0]
    answer = f"Shown {_listed(map(_where, shown))}" if shown else "This is not shown"
    return (
        f"Do ranks on the lite tier predict those on the standard tier? {answer}. Kendall's tau "
        f"between them (1 is the same order, 0 no relation; {100 * confidence:g} % intervals) is "
        f"{_listed(map(_measured, known))}."
    )


def _measured(item: TierAgreement) -> str:
    span = item.interval
    ends = f" [{span.low:+.2f}, {span.high:+.2f}]" if span else ""
    return f"{item.tau:+.2f}{ends} {_where(item)} (n={len(item.methods)} methods)"


def _where(item: TierAgreement) -> str:
    return "over all families" if item.family == OVERALL else f"in {item.family.replace('_', ' ')}"


def _listed(parts: Iterable[str]) -> str:
    """One, two, three and four."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _agreement(name: str, tiers: Mapping[Tier, FamilySummary], ruleset: Ruleset) -> TierAgreement:
    lite, standard = (_scores(tiers.get(tier)) for tier in ("lite", "standard"))
    counts = {tier: len(tiers[tier].tasks) if tier in tiers else 0 for tier in ("lite", "standard")}
    methods = sorted(lite.keys() & standard.keys())
    tau = interval = None
    note = next(
        (f"{UNKNOWN}no {tier} task with an anchor has results" for tier, n in counts.items()
         if not n),
        "",
    )  # fmt: skip
    if not note and len(methods) < MIN_METHODS:
        note = f"{UNKNOWN}{len(methods)} methods have both, expected {MIN_METHODS} or more"
    if not note:
        x, y = (np.array([scores[method] for method in methods]) for scores in (lite, standard))
        tau, interval = kendall(x, y, name, ruleset)
        note = "" if tau is not None else f"{UNKNOWN}all methods tie"
    return TierAgreement(
        family=name,
        methods=methods,
        n_lite=counts["lite"],
        n_standard=counts["standard"],
        tau=tau,
        interval=interval,
        note=note,
    )


def _scores(summary: FamilySummary | None) -> dict[str, float]:
    """Scores of the methods that have all tasks of a summary; others have other tasks."""
    rows = summary.rows if summary else []
    return {
        row.method: row.score
        for row in rows
        if row.score is not None and row.n_tasks == row.of_tasks
    }


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
