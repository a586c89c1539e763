"""Signs in scores and curves: impossible values, and values far from the baselines'."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

from assay.detectors.baselines import MIN_CURVES, CurveKey, Flag, Subject, ids, sd, test_of, val_of

CEILING_SIGMA = 4.5
"""Standard errors above the ceiling of noisy labels; one run in 300,000 by chance."""
MAX_CHANCE = 1e-4
"""A perfect score is flagged if a run as good as the best baseline has a smaller chance of one."""
OFFICIAL_TEST = 10_000
"""Test examples if the card has no test split: those of CIFAR-10, CIFAR-100, Fashion-MNIST."""
CONVERGENCE_SIGMA = 6.0
"""Standard deviations over runs. Honest: at most 2.7 (lsq on digits_w2a2)."""
GAP_SIGMA = 5.0
"""Standard errors, to which the task's margin is added. Honest: at most 0.22 of the sum."""


def above_ceiling(subject: Subject) -> Iterator[Flag]:
    """Scores that no method can have, even one that knows the true labels."""
    card = subject.card
    if card.metric.unit == "share":
        outside = [r for r in subject.runs if not (0 <= val_of(r) <= 1 and 0 <= test_of(r) <= 1)]
        if outside:
            yield Flag(
                code="above_ceiling",
                message=f"{len(outside)} runs have a score outside 0..1",
                runs=ids(outside),
            )
    if card.family == "functions":
        yield from _above_area(subject)
    elif card.family == "noisy_labels" and card.recipe.get("noise") != "human":
        yield from _above_noise(subject)
    yield from _perfect(subject)


def _above_area(subject: Subject) -> Iterator[Flag]:
    """Areas that even an oracle cannot have: the curve starts at (0, 0), which costs a triangle."""
    budget = subject.card.budget.passes or subject.card.budget.batches
    first = subject.card.evaluation.batches(subject.card.budget.batches)[0]
    ceiling = 1 - first / (2 * budget)
    floor = subject.card.recipe.get("gap_floor")
    lowest = math.log10(floor) if isinstance(floor, float) else -math.inf
    found = [
        run
        for run in subject.runs
        if max(val_of(run), test_of(run)) > ceiling + 1e-9
        or (run.result and run.result.secondary.get("log10_gap", 0.0) < lowest - 1e-9)
    ]
    if found:
        yield Flag(
            code="above_ceiling",
            message=f"{len(found)} runs are above {ceiling:.4f}, what an oracle that stands on the "
            "minimum from the first snapshot on would have, or below the minimum",
            runs=ids(found),
        )


def _above_noise(subject: Subject) -> Iterator[Flag]:
    """Accuracy above 1 - noise_rate on noisy labels, which the true labels themselves have."""
    rate, n_val = float(subject.card.recipe["noise_rate"]), int(subject.card.split["val"])
    for group in subject.groups:
        mean = fmean(group.vals)
        sd = math.sqrt(rate * (1 - rate) / (n_val * len(group)))
        if mean > 1 - rate + CEILING_SIGMA * sd:
            yield Flag(
                code="above_ceiling",
                message=f"mean accuracy {mean:.4f} on noisy validation labels (n={len(group)}); "
                f"the true labels themselves have {1 - rate:.4f} +- {sd:.4f}",
                runs=ids(group),
            )


def _perfect(subject: Subject) -> Iterator[Flag]:
    """No error in most repetitions, on a task where the best baseline makes many."""
    if subject.card.family == "functions" or subject.card.metric.unit != "share":
        return
    best = subject.baseline.best_test
    if best is None:
        return
    n_test = int(subject.card.split.get("test", OFFICIAL_TEST))
    chance = best**n_test
    for group in subject.groups if chance < MAX_CHANCE else ():
        perfect = [run for run in group if test_of(run) == 1.0]
        if 2 * len(perfect) >= len(group):
            yield Flag(
                code="above_ceiling",
                message=f"{len(perfect)} of {len(group)} runs make no error on {n_test} test "
                f"examples; the best baseline has {best:.4f}, chance {chance:.1e} for one run",
                runs=ids(perfect),
            )


def fast_convergence(subject: Subject) -> Iterator[Flag]:
    """Validation curves many standard deviations better than every baseline's."""
    if not subject.baseline.enough:
        return
    for group in subject.groups:
        leads = [
            lead
            for key, values in group.curves.items()
            if len(values) >= MIN_CURVES and (lead := _lead(key, values, subject))
        ]
        if leads:
            most = max(leads)
            yield Flag(
                code="fast_convergence",
                message=f"after {most.batch} batches {most.mean:.4g} on validation "
                f"(n={len(group)}), the best baseline {most.best:.4g}: {most.sigmas:.1f} "
                f"standard deviations of {most.spread:.2g}",
                runs=ids(group),
            )


class _Lead(NamedTuple):
    """How far a group is ahead of the best baseline at one evaluation point."""

    sigmas: float
    batch: int
    mean: float
    best: float
    spread: float


def _lead(key: CurveKey, values: Sequence[float], subject: Subject) -> _Lead | None:
    """The lead over the best mean, in units of the largest spread of the baselines and `values`.

    None if it is at most CONVERGENCE_SIGMA.
    """
    level = subject.baseline.level(key)
    if level is None:
        return None
    mean, best = fmean(values), level.highest if subject.sign > 0 else level.lowest
    ahead, known = subject.sign * (mean - best), max(subject.card.metric.margin, level.spread)
    if ahead / known <= CONVERGENCE_SIGMA:
        return None  # a larger spread of `values` would only reduce it
    spread = max(known, sd(values))
    sigmas = ahead / spread
    return _Lead(sigmas, key[1], mean, best, spread) if sigmas > CONVERGENCE_SIGMA else None


def val_test_gap(subject: Subject) -> Iterator[Flag]:
    """Validation scores far from those of baselines with the same test score.

    These are predicted by a line through the chance level, where both scores are equal: noisy
    validation labels reduce a good score more than a poor one. A line with a free intercept would
    be wrong far from the baselines.
    """
    if subject.card.family == "functions":
        unequal = [run for run in subject.runs if val_of(run) != test_of(run)]
        if unequal:
            yield Flag(
                code="val_test_gap",
                message=f"val and test differ in {len(unequal)} runs; on functions they are one",
                runs=ids(unequal),
            )
        return
    gap, chance = subject.baseline.gap, subject.card.metric.chance
    if gap is None:
        return
    for group in subject.groups:
        excess = fmean(group.residuals(gap.slope, chance))
        band = GAP_SIGMA * gap.spread * math.sqrt(1 / len(group) + 1 / gap.n)
        band += subject.card.metric.margin
        if abs(excess) > band:
            yield Flag(
                code="val_test_gap",
                message=f"validation is {excess:+.4f} from what baselines of this test score have "
                f"(n={len(group)}), expected within {band:.4f}",
                runs=ids(group),
            )
