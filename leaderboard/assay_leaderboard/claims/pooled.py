"""The test of a claim on all its tasks of one tier together, and the verdict.

Repetition r counts with D_r: the mean over the tasks of the paired difference in repetition r, in
normalised score. The exact sign-flip test flips repetition r of all tasks together. The interval is
drawn at the level that Holm's correction over the claims of the card gives, so that it excludes the
bar exactly where Holm rejects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from assay.cards import Claim
from assay.ruleset import Tier

from assay_leaderboard.claims.one_task import ClaimOnTask, TaskFinding
from assay_leaderboard.schema.values import Floats, Interval, Part, Verdict
from assay_leaderboard.statistics import sign_flips, subset_means, verdicts

ClaimVerdict = Literal[
    "supported",
    "no meaningful difference",
    "contradicted",
    "mixed",
    "inconclusive",
    "not tested",
]
NORMALISED = "normalised"


class TierVerdict(Part):
    """A claim on all its tasks of one tier."""

    tier: Tier
    verdict: ClaimVerdict | None
    """None where only preliminary results are compared, and on the paper tier, which shows means
    and intervals; deterministic tasks have one on any tier."""
    preliminary: bool
    """Every comparison is preliminary, so that nothing is concluded."""
    n_tasks: int
    """Tasks that the verdict rests on (or the difference, where there is no verdict)."""
    n: int
    """Repetitions of the pooled test; 1 where the tasks are deterministic."""
    difference: float | None
    """Mean over tasks and repetitions, positive where the claim holds; None where deterministic
    tasks have different units."""
    unit: str
    """ "normalised" (0 = chance, 1 = anchor), or the unit of a secondary metric."""
    margin: float
    """Mean of the tasks' margins (or of the claim's, if positive), in `unit`."""
    bar: float
    """What the interval is held against: 0, or the shortfall that a claim with a negative margin
    allows (below 0)."""
    interval: Interval | None
    """None where the tasks are deterministic."""
    level: float | None
    """Of the interval."""
    p: float | None
    """Exact sign-flip test of the difference beyond the bar, not corrected."""
    tasks: list[TaskFinding]
    """All of the tier that the claim names and that are compared."""
    note: str
    """What else the verdict rests on; empty if on the interval alone."""


@dataclass(frozen=True)
class TierTest:
    """A claim at one tier, before the correction for the other claims of its card."""

    tier: Tier
    claim: Claim
    compared: Sequence[ClaimOnTask]
    """All comparisons."""
    pooled: Sequence[ClaimOnTask]
    """Those of which the pooled difference is made."""
    differences: Floats
    """(n,) D_r of the repetitions that all tasks have; empty where nothing varies."""
    margin: float
    bar: float

    @property
    def preliminary(self) -> bool:
        """There are no other comparisons than preliminary ones."""
        return all(one.finding.kind == "preliminary" for one in self.compared)

    @property
    def tested(self) -> bool:
        """It gives a verdict from a test: its pairs have verdicts, being neither preliminary nor
        on the paper tier.
        """
        return bool(len(self.differences)) and all(one.finding.verdict for one in self.pooled)

    @property
    def p(self) -> float:
        """Exact sign-flip test of the differences beyond the bar."""
        return float(sign_flips.p_values((self.differences - self.bar)[np.newaxis])[0])

    def beyond(self, error: float) -> Interval:
        """The interval of the differences less the bar, at level 1 - error."""
        rows = (self.differences - self.bar)[np.newaxis]
        low, high = subset_means.intervals(rows, error)[0].tolist()
        return Interval(low, high)


def tier_test(tier: Tier, claim: Claim, on_tasks: Sequence[ClaimOnTask]) -> TierTest | None:
    """The test of a claim at one tier; None where nothing is compared."""
    compared = [one for one in on_tasks if one.finding.kind != "none"]
    if not compared:
        return None
    pooled = _pooled(compared)
    units = [one.unit or 1.0 for one in pooled]
    margins = [
        (claim.margin if claim.margin > 0 else one.finding.margin) / unit
        for one, unit in zip(pooled, units, strict=True)
    ]
    bars = [min(claim.margin, 0.0) / unit for unit in units]
    return TierTest(
        tier=tier,
        claim=claim,
        compared=compared,
        pooled=pooled,
        differences=_differences(pooled, units),
        margin=float(np.mean(margins)) if pooled else 0.0,
        bar=float(np.mean(bars)) if pooled else min(claim.margin, 0.0),
    )


def _pooled(compared: Sequence[ClaimOnTask]) -> list[ClaimOnTask]:
    """Complete comparisons if there is any, else preliminary ones; deterministic ones never.

    Tasks without an anchor are left out; so are secondary metrics, where another task ranks by the
    claim's metric, since they are not normalised.
    """
    kinds = {one.finding.kind for one in compared}
    kind = "preliminary" if kinds == {"preliminary"} else "complete"
    found = [one for one in compared if one.finding.kind == kind and one.unit is not None]
    own = any(one.own for one in found)
    return [one for one in found if one.own == own]


def _differences(pooled: Sequence[ClaimOnTask], units: Sequence[float]) -> Floats:
    """(n,) means over the tasks, of the repetitions that all of them have."""
    if not pooled:
        return np.empty(0)
    n = min(len(one.differences) for one in pooled)
    rows = np.array([one.differences[:n] / unit for one, unit in zip(pooled, units, strict=True)])
    found: Floats = rows.mean(axis=0)
    return found[~np.isnan(found)]


def tier_verdict(test: TierTest, error: float) -> TierVerdict:
    """The verdict of a claim at one tier.

    Args:
        test: the claim's.
        error: Holm's error level over the claims of the card at this tier, the same for all.
    """
    n = len(test.differences)
    if not n:
        return _by_number(test)
    beyond = test.beyond(error)
    word = verdicts.verdict(beyond, 0.0 if test.bar < 0 else test.margin, passed=test.p <= error)
    return TierVerdict(
        tier=test.tier,
        verdict=_ruling(word, _named(test)) if test.tested else None,
        preliminary=test.preliminary,
        n_tasks=len(test.pooled),
        n=n,
        difference=float(test.differences.mean()),
        unit=NORMALISED if test.pooled[0].own else test.pooled[0].finding.unit,
        margin=test.margin,
        bar=test.bar,
        interval=Interval(beyond.low + test.bar, beyond.high + test.bar),
        level=1 - max(error, 2.0 ** (1 - n)),
        p=test.p,
        tasks=[one.finding for one in test.compared],
        note="; ".join(_notes(test, word, beyond)),
    )


def _ruling(word: Verdict, named: Mapping[str, Sequence[str]]) -> ClaimVerdict:
    """The verdict of a claim from that of its pooled interval and those of its tasks.

    Args:
        word: read off the interval less the bar.
        named: the tasks on which the method is significantly "better" and "worse".
    """
    disagree = bool(named["better"] and named["worse"])
    if word == "worse":
        return "contradicted"
    if word == "better" and not named["worse"]:
        return "supported"
    if word in ("better", "undecided") or disagree:
        return "mixed" if disagree else "inconclusive"
    return "no meaningful difference"


def _named(test: TierTest) -> dict[str, list[str]]:
    """The tasks on which the method is significantly better, and worse than the claim allows.

    Negligible differences are neither, as in the ranks of the board.
    """
    found: dict[str, list[str]] = {"better": [], "worse": []}
    for one in test.compared:
        finding = one.finding
        most = finding.comparison.interval.high if finding.comparison else finding.difference
        if finding.verdict == "better":
            found["better"].append(finding.task)
        elif finding.verdict == "worse" and most is not None and most < min(test.claim.margin, 0):
            found["worse"].append(finding.task)
    return found


def _notes(test: TierTest, word: Verdict, beyond: Interval) -> Iterator[str]:
    """What a reader of the verdict should know beside the interval."""
    n = len(test.differences)
    if test.preliminary:
        yield "preliminary: differences only"
    elif not test.tested:
        yield f"{test.tier} tier: means and intervals, no verdict"
    elif word == "undecided" and (beyond.low > 0 or beyond.high < 0):
        yield f"{n} repetitions are too few for the claims of this card"
    if "negligible" in word:
        yield f"the difference is {word}"
    if test.bar < 0:
        yield f"the claim allows to be worse by {-test.claim.margin:g}"
    for name, tasks in _named(test).items():
        if tasks:
            yield f"{name} on {', '.join(tasks)}"
    left_out = [one for one in test.compared if one not in test.pooled]
    reasons: dict[str, list[str]] = {}
    for one in left_out:
        reasons.setdefault(_left_out(one), []).append(one.finding.task)
    for reason, tasks in reasons.items():
        yield f"not in the pooled difference ({reason}): {', '.join(tasks)}"


def _left_out(one: ClaimOnTask) -> str:
    """Why a comparison is not part of the pooled difference."""
    if one.finding.kind in ("preliminary", "fixed"):
        return "preliminary" if one.finding.kind == "preliminary" else "deterministic"
    return "not normalised" if not one.own else "no anchor"


def _by_number(test: TierTest) -> TierVerdict:
    """The verdict where nothing varies: on deterministic tasks, from the numbers themselves.

    Where there are none, but tasks without an anchor or without a common repetition, there is no
    verdict.
    """
    fixed = [one.finding for one in test.compared if one.finding.kind == "fixed"]
    units = {finding.unit for finding in fixed}
    shared = units.pop() if len(units) == 1 else None
    better, worse = (len(tasks) for tasks in _named(test).values())
    note = "no task with an anchor is compared: nothing to pool"
    if fixed:
        within = len(fixed) - better - worse
        note = (
            f"deterministic, one run each, no test: better on {better}, within the margin on "
            f"{within}, worse on {worse}"
        )
    return TierVerdict(
        tier=test.tier,
        verdict=_certain(better, worse, len(fixed), test.bar) if fixed else None,
        preliminary=test.preliminary,
        n_tasks=len(fixed),
        n=1 if fixed else 0,
        difference=float(np.mean([f.difference for f in fixed])) if shared else None,
        unit=shared or NORMALISED,
        margin=float(np.mean([f.margin for f in fixed])) if shared else 0.0,
        bar=test.bar,
        interval=None,
        level=None,
        p=None,
        tasks=[one.finding for one in test.compared],
        note=note,
    )


def _certain(better: int, worse: int, n: int, bar: float) -> ClaimVerdict:
    """The verdict from the numbers of deterministic tasks that are better and worse, of n."""
    if better and worse:
        return "mixed"
    if worse:
        return "contradicted"
    if better == n or bar < 0:
        return "supported"
    return "inconclusive" if better else "no meaningful difference"
