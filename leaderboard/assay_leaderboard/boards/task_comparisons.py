"""The differences between the methods on one task, at one tuning budget.

All pairs of ranked methods are judged together, once: tables, ranks, matrices and the comparison of
two methods read their verdicts here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from assay.cards import TaskCard
from assay.ruleset import Ruleset

from assay_leaderboard.evidence.cells import CellEvidence, cells
from assay_leaderboard.evidence.runs import Catalogue, Evidence
from assay_leaderboard.schema.task_details import Pair
from assay_leaderboard.schema.values import Comparison, Floats, Interval, PairFamily, Verdict
from assay_leaderboard.statistics import pair_family, subset_means
from assay_leaderboard.statistics.corrections import rank_intervals
from assay_leaderboard.statistics.pair_family import Judgement, Rows

MIRRORED: dict[Verdict | None, Verdict | None] = {
    "better": "worse",
    "worse": "better",
    "better, negligible": "worse, negligible",
    "worse, negligible": "better, negligible",
}
"""The verdict on the same pair from the other side; others stay."""


@dataclass(frozen=True)
class TaskComparisons:
    """The cells of a task, and what the differences between them show; it can be pickled."""

    card: TaskCard
    cells: Sequence[CellEvidence]
    ruleset: Ruleset
    budget: int | None = None
    """Points k that each repetition's score is selected from (CellEvidence.scores)."""

    @property
    def sign(self) -> float:
        """1 where larger scores are better, -1 where smaller ones are."""
        return 1.0 if self.card.metric.direction == "maximize" else -1.0

    @property
    def epoch(self) -> str | None:
        """The epoch whose hidden seeds ranks and verdicts stand on; None: the public seeds."""
        return next((cell.epoch for cell in self.in_order), None)

    @property
    def judged(self) -> bool:
        """Whether the task gives verdicts and ranks.

        A deterministic task has one run and no spread; the paper tier shows published settings with
        means and intervals alone (protocol 1).
        """
        return not self.card.deterministic and self.card.tier != "paper"

    @property
    def gap(self) -> float | None:
        """One unit of the normalised score in the metric's unit, positive if the anchor is better
        than chance; None where the task is not anchored.
        """
        if self.card.anchor is None or self.card.deterministic:
            return None
        gap = self.sign * (self.card.anchor.value - self.card.metric.chance)
        return gap if gap > 0 else None

    def normalised(self, scores: Floats) -> Floats:
        """Scores on the scale where chance is 0 and the card's anchor 1.

        Raises:
            ValueError: the task is not anchored.
        """
        if self.gap is None:
            raise ValueError(f"{self.card.slug} has no anchor")
        return self.sign * (scores - self.card.metric.chance) / self.gap

    @cached_property
    def ranked(self) -> list[CellEvidence]:
        """The complete, current cells.

        From best to worst mean, equal ones by slug; those without a completed run last.
        """
        found = [cell for cell in self.cells if cell.state == "ranked"]

        def order(cell: CellEvidence) -> tuple[bool, float, str]:
            mean = float(cell.values(self.budget).mean())
            return not cell.completed(self.budget), -self.sign * mean, cell.method

        return sorted(found, key=order)

    @property
    def in_order(self) -> list[CellEvidence]:
        """All cells in the order of the table: the ranked ones, then the others by slug."""
        others = [cell for cell in self.cells if cell.state != "ranked"]
        return [*self.ranked, *sorted(others, key=lambda cell: cell.method)]

    @cached_property
    def by_method(self) -> dict[str, CellEvidence]:
        """The cells by method."""
        return {cell.method: cell for cell in self.cells}

    @property
    def reference(self) -> CellEvidence | None:
        """The reference's cell, if it can be compared with."""
        cell = self.by_method.get(self.card.reference)
        return cell if cell and cell.state in ("ranked", "preliminary") else None

    @cached_property
    def _judgement(self) -> Judgement | None:
        """All pairs of ranked methods, the better one first, in the order of np.triu_indices."""
        if not self.judged or len(self.ranked) < 2:
            return None
        scores = np.full((len(self.ranked), max(len(cell.val) for cell in self.ranked)), np.nan)
        for row, cell in zip(scores, self.ranked, strict=True):
            row[: len(cell.val)] = self.sign * cell.scores(self.budget)
        first, second = np.triu_indices(len(scores), 1)
        differences = scores[first] - scores[second]
        known = ~np.isnan(differences)
        rows: Rows = differences
        if not known.all():
            rows = [row[kept] for row, kept in zip(differences, known, strict=True)]
        rate = self.ruleset.false_discovery_rate
        return Judgement.of(rows, self.card.metric.margin, rate)

    @cached_property
    def _places(self) -> dict[str, int]:
        """The place of each ranked method."""
        return {cell.method: place for place, cell in enumerate(self.ranked)}

    @property
    def family(self) -> PairFamily | None:
        """How all pairs of ranked methods were judged; None where there is none."""
        return self._judgement.family if self._judgement else None

    @cached_property
    def pairs(self) -> list[Pair]:
        """All pairs of ranked methods, the one with the better mean first."""
        if self._judgement is None:
            return []
        compared = self._judgement.comparisons(range(len(self._judgement.rows)))
        methods = itertools.combinations(self._places, 2)
        return [
            Pair(a, b, self._said(a, b, found))
            for (a, b), found in zip(methods, compared, strict=True)
        ]

    def ranks(self) -> dict[str, tuple[int, int]]:
        """Rank interval of each ranked method: (1 + those better than it, all - those worse)."""
        if not self.judged:
            return {}
        m = len(self.ranked)
        beats = np.zeros((m, m), dtype=np.bool_)
        if self._judgement:
            winners, (first, second) = self._judgement.winners(), np.triu_indices(m, 1)
            beats[first, second], beats[second, first] = winners > 0, winners < 0
        return dict(zip(self._places, rank_intervals(beats), strict=True))

    @cached_property
    def with_reference(self) -> dict[str, Comparison]:
        """Every other ranked method compared with the reference, where that is ranked too."""
        reference, judgement = self.card.reference, self._judgement
        if judgement is None or reference not in self._places:
            return {}
        others = [method for method in self._places if method != reference]
        compared = judgement.comparisons([self._pair(method, reference) for method in others])
        own = self._places[reference]
        return {
            method: self._said(
                method,
                reference,
                comparison if self._places[method] < own else mirrored(comparison),
            )
            for method, comparison in zip(others, compared, strict=True)
        }

    def _said(self, a: str, b: str, comparison: Comparison) -> Comparison:
        """A comparison of ranked methods that says so where neither has a completed run."""
        if any(self.by_method[method].completed(self.budget) for method in (a, b)):
            return comparison
        return replace(comparison, verdict="neither completed", repetitions_needed=None)

    def _pair(self, a: str, b: str) -> int:
        """The place of a pair in np.triu_indices."""
        i, j = sorted((self._places[a], self._places[b]))
        return i * len(self.ranked) - i * (i + 1) // 2 + j - i - 1

    def comparison(self, a: str, b: str) -> Comparison | None:
        """Method `a` compared with `b`; None where one cannot be compared or is the other.

        Two ranked methods have the verdict of their family. Where one is preliminary, or on the
        paper tier, the interval is at the ruleset's confidence and there is no verdict.
        """
        if a == b:
            return None
        if self._judgement and {a, b} <= self._places.keys():
            if b == self.card.reference:
                return self.with_reference[a]
            (found,) = self._judgement.comparisons([self._pair(a, b)])
            return self._said(a, b, found if self._places[a] < self._places[b] else mirrored(found))
        differences = self.differences(a, b)
        if not len(differences) or self.card.deterministic:
            return None
        error = 1 - subset_means.as_written(self.ruleset.confidence)
        return pair_family.unjudged([differences], error)[0]

    def differences(self, a: str, b: str) -> Floats:
        """(n,) over the repetitions of both, positive where `a` is better; empty where none is.

        Where one of the two has fewer points than planned, both count with as many.
        """
        found = [self.by_method.get(method) for method in (a, b)]
        members = [cell for cell in found if cell and cell.state in ("ranked", "preliminary")]
        if len(members) < 2:
            return np.empty(0)
        first, second = self.paired(*members)
        return self.sign * (first - second)

    def paired(self, a: CellEvidence, b: CellEvidence) -> tuple[Floats, Floats]:
        """The scores (n,) of two cells in the repetitions that both have, at the same budget."""
        first, second = self.aligned(a, b)
        known = ~np.isnan(first) & ~np.isnan(second)
        return first[known], second[known]

    def aligned(self, a: CellEvidence, b: CellEvidence) -> tuple[Floats, Floats]:
        """The scores (R,) of two cells by repetition, at the same budget; NaN for a missing one."""
        budget = common_budget(self.budget, (a, b))
        rows = min(len(a.val), len(b.val))
        return a.scores(budget)[:rows], b.scores(budget)[:rows]


def common_budget(budget: int | None, members: Sequence[CellEvidence]) -> int | None:
    """The budget at which cells can be compared: that asked for, or the points of one that lacks
    some.
    """
    few = [cell.k for cell in members if cell.k < cell.planned_k]
    asked = [] if budget is None else [budget]
    return min([*asked, *few], default=None)


def mean_intervals(samples: Sequence[Floats], confidence: float) -> list[Interval | None]:
    """Interval of the mean of each of `samples` (n,), from the means of its subsets; None: n < 2.

    Those of equal size are computed together.
    """
    found: list[Interval | None] = [None] * len(samples)
    error = 1 - subset_means.as_written(confidence)
    for n in {len(values) for values in samples} - {0, 1}:
        members = [place for place, values in enumerate(samples) if len(values) == n]
        rows = np.array([samples[place] for place in members])
        ends = subset_means.intervals(rows, error).tolist()
        for place, (low, high) in zip(members, ends, strict=True):
            found[place] = Interval(low, high)
    return found


def mirrored(comparison: Comparison) -> Comparison:
    """The same comparison from the other method's side."""
    low, high = comparison.interval.low, comparison.interval.high
    return replace(
        comparison,
        difference=0.0 - comparison.difference,
        interval=Interval(0.0 - high, 0.0 - low),
        superiority=1 - comparison.superiority,
        verdict=MIRRORED.get(comparison.verdict, comparison.verdict),
    )


def all_comparisons(
    evidence: Evidence, catalogue: Catalogue, ruleset: Ruleset, budget: int | None = None
) -> tuple[list[TaskComparisons], list[str]]:
    """The tasks of the catalogue that have runs, in its order, and a line for each problem."""
    found, problems = [], list(evidence.problems)
    for card, _ in catalogue.tasks.values():
        members, wrong = cells(card, evidence, catalogue, ruleset)
        problems += wrong
        if members:
            found.append(TaskComparisons(card, members, ruleset, budget))
    return found, problems
