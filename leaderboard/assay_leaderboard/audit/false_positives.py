"""The A/A control: the whole pipeline, tuning included, on a method against itself.

Two arms are the same method on the same task: its ordinary cell, and its runs in repetitions from
Ruleset.control_repetition on (`assay aa`), with other splits, seeds and hyperparameter points.
Every difference that is found between them is false. Three kinds of comparisons are made:

- one pair a cell, all of the one arm against all of the other: independent between tasks, and with
  the number of repetitions that the board uses, but few. Methods on one task have their splits in
  common, so that their pairs tell less than as many tasks would;
- disjoint halves of each arm against each other: two pairs a cell that share no repetition. Where
  the scores of a task are normal, they are independent of its first pair too;
- random splits of both arms' repetitions into two: many, but they share their repetitions. Given
  these the sign-flip test is exact, so their rate checks the code, not the world.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from assay.cards import Metric, TaskCard
from assay.identity import derive_seed
from assay.records.schema import RunRecord
from assay.records.selection import scores, selected
from assay.ruleset import Ruleset
from numpy.typing import NDArray

from assay_leaderboard.schema.values import Comparison, Floats, Interval, Part, Verdict
from assay_leaderboard.statistics import pair_family, sign_flips, subset_means, verdicts

SPLITS = 1_000
"""Random splits of a cell's repetitions into two arms."""
CellName = tuple[str, str]
"""Task and method."""


class Rate(Part):
    """How often something happened, with its uncertainty."""

    count: int
    n: int
    interval: Interval
    """Wilson interval of the probability at the ruleset's confidence."""


class Pairs(Part):
    """Comparisons that share no repetition, counted."""

    n_repetitions: int
    """In each arm; the largest where tasks have different numbers."""
    rejected: Rate
    """p <= alpha: a false positive. Should be at most alpha."""
    covered: Rate
    """Intervals at level 1 - alpha that hold 0, the true difference."""
    verdicts: dict[Verdict, int]
    """Each pair judged alone, as a family of one."""


class Splits(Part):
    """Random splits of a cell's repetitions, as shares; they share their repetitions."""

    n: int
    rejected: float
    covered: float
    verdicts: dict[Verdict, float]


class ControlCell(Part):
    """One method on one task."""

    task: str
    method: str
    unit: str
    margin: float
    n: int
    """Repetitions of each arm."""
    mean: float
    """Of the ordinary cell."""
    mean_control: float
    comparison: Comparison
    """Of the two arms, judged alone; positive where the ordinary cell is better."""
    halves: list[Comparison]
    """First against second half of each arm; empty where an arm has fewer than four repetitions."""
    splits: Splits


class ControlReport(Part):
    """All cells of the control together."""

    alpha: float
    confidence: float
    n_tasks: int
    n_methods: int
    pairs: Pairs
    """One a cell, at full size."""
    halves: Pairs
    """Two a cell, at half the size."""
    splits: Splits
    """Mean over the cells; `n` counts all splits."""
    cells: list[ControlCell]


@dataclass(frozen=True)
class Arms:
    """The scores of one cell's repetitions: test scores of the selected points."""

    ordinary: Floats
    """(R,)"""
    control: Floats
    """(R,)"""


def control_scores(runs: Iterable[RunRecord], card: TaskCard, ruleset: Ruleset) -> dict[int, float]:
    """Scores of the control's repetitions of which every point has a record.

    Args:
        runs: current records of one method on the task; those that are not of the control, of an
            epoch, or with other than the usual points are passed by.
        card: of the task.
        ruleset: the current one.

    Returns:
        By repetition, less Ruleset.control_repetition.
    """
    found: dict[int, dict[int, RunRecord]] = {}
    for run in runs:
        spec = run.spec
        if spec.point is not None and spec.epoch is None:
            found.setdefault(spec.repetition - ruleset.control_repetition, {})[spec.point] = run
    known = {
        repetition: _score(points, card, ruleset)
        for repetition, points in sorted(found.items())
        if repetition >= 0
    }
    return {repetition: score for repetition, score in known.items() if score is not None}


def _score(points: Mapping[int, RunRecord], card: TaskCard, ruleset: Ruleset) -> float | None:
    """Test score of the selected point of a repetition; None where a point has no record."""
    tuned = any(run.space.ranges for run in points.values())
    k = ruleset.k(card.tier, deterministic=card.deterministic) if tuned else 1
    runs = [run for point, run in points.items() if point < k]
    return scores(selected(runs, card.metric), card.metric)[1] if len(runs) == k else None


def control(
    arms: Mapping[CellName, Arms], cards: Mapping[str, TaskCard], ruleset: Ruleset
) -> ControlReport | None:
    """Compare the two arms of each cell, between which there is no difference.

    Args:
        arms: by task and method, of equal size.
        cards: of the tasks.
        ruleset: levels.

    Returns:
        The report; None where no cell has two repetitions in each arm.
    """
    cells = [
        _cell(name, cards[name[0]], arms[name], ruleset)
        for name in sorted(arms)
        if len(arms[name].ordinary) > 1
    ]
    if not cells:
        return None
    return ControlReport(
        alpha=ruleset.alpha,
        confidence=ruleset.confidence,
        n_tasks=len({cell.task for cell in cells}),
        n_methods=len({cell.method for cell in cells}),
        pairs=_pairs([cell.comparison for cell in cells], ruleset),
        halves=_pairs([half for cell in cells for half in cell.halves], ruleset),
        splits=_together([cell.splits for cell in cells]),
        cells=cells,
    )


def _cell(name: CellName, card: TaskCard, arms: Arms, ruleset: Ruleset) -> ControlCell:
    metric, n = card.metric, len(arms.ordinary)
    sign = 1.0 if metric.direction == "maximize" else -1.0
    first, second = sign * arms.ordinary, sign * arms.control
    halves = []
    if n >= 4:
        halves = [arm[: n // 2] - arm[n // 2 : n // 2 * 2] for arm in (first, second)]
    pair, *others = (_alone(row, metric, ruleset) for row in (first - second, *halves))
    return ControlCell(
        task=name[0],
        method=name[1],
        unit=metric.unit,
        margin=metric.margin,
        n=n,
        mean=float(arms.ordinary.mean()),
        mean_control=float(arms.control.mean()),
        comparison=pair,
        halves=others,
        splits=_splits(np.concatenate([first, second]), card, ruleset),
    )


def _alone(row: Floats, metric: Metric, ruleset: Ruleset) -> Comparison:
    """A pair judged as a family of one, so that its level is 1 - alpha."""
    return pair_family.judge([row], metric.margin, ruleset.alpha)[1][0]


def _splits(values: Floats, card: TaskCard, ruleset: Ruleset) -> Splits:
    """Compare the halves of random orders of a cell's 2R repetitions."""
    halves = values[_orders(card.slug, len(values), ruleset)].reshape(SPLITS, 2, -1)
    rows = halves[:, 0] - halves[:, 1]
    rejected = sign_flips.p_values(rows) <= ruleset.alpha
    intervals = subset_means.intervals(rows, ruleset.alpha)
    words = Counter(
        verdicts.verdict(Interval(low, high), card.metric.margin, passed=passed)
        for (low, high), passed in zip(intervals.tolist(), rejected.tolist(), strict=True)
    )
    covered = (intervals[:, 0] <= 0) & (intervals[:, 1] >= 0)
    return Splits(
        n=SPLITS,
        rejected=float(rejected.mean()),
        covered=float(covered.mean()),
        verdicts={word: words[word] / SPLITS for word in get_args(Verdict)},
    )


def _orders(task: str, n: int, ruleset: Ruleset) -> NDArray[np.int64]:
    """Random orders of a task's n repetitions, (SPLITS, n)."""
    generator = np.random.default_rng(derive_seed(ruleset.seed_root, "control", task, n))
    return generator.permuted(np.tile(np.arange(n), (SPLITS, 1)), axis=1)


def _pairs(found: Sequence[Comparison], ruleset: Ruleset) -> Pairs:
    words = Counter(comparison.verdict for comparison in found)
    rejected = sum(comparison.p <= ruleset.alpha for comparison in found)
    covered = sum(c.interval.low <= 0 <= c.interval.high for c in found)
    return Pairs(
        n_repetitions=max((comparison.n for comparison in found), default=0),
        rejected=_rate(rejected, len(found), ruleset.confidence),
        covered=_rate(covered, len(found), ruleset.confidence),
        verdicts={word: words[word] for word in get_args(Verdict)},
    )


def _rate(count: int, n: int, confidence: float) -> Rate:
    if not n:
        return Rate(count=0, n=0, interval=Interval(0.0, 1.0))
    from scipy.stats import binomtest  # half a second to import, needed by this alone

    found = binomtest(count, n).proportion_ci(confidence, method="wilson")
    return Rate(count=count, n=n, interval=Interval(float(found.low), float(found.high)))


def _together(tasks: Sequence[Splits]) -> Splits:
    """Mean of the shares, tasks weighing the same."""
    return Splits(
        n=sum(task.n for task in tasks),
        rejected=_mean([task.rejected for task in tasks]),
        covered=_mean([task.covered for task in tasks]),
        verdicts={
            word: _mean([task.verdicts[word] for task in tasks]) for word in get_args(Verdict)
        },
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
