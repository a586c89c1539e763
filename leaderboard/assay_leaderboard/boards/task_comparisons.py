"""The tests between the methods on one task."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from assay.cards import TaskCard
from assay.ruleset import Ruleset
from numpy.typing import NDArray

from assay_leaderboard.evidence.cells import Catalogue, CellEvidence, Evidence, Repetitions, cells
from assay_leaderboard.schema.board import Basis
from assay_leaderboard.schema.task_details import Pair
from assay_leaderboard.schema.values import Comparison, Floats, Interval
from assay_leaderboard.statistics import aggregate, corrections, paired_tests

Places = NDArray[np.intp]


class Tested(NamedTuple):
    """Test results of pairs of ranked methods, as arrays (pairs,).

    Methods are given by their place in `TaskComparisons.ranked`; differences are positive where
    the first is better.
    """

    first: Places
    second: Places
    """Larger than `first`."""
    n: Places
    difference: Floats
    p: Floats
    """Benjamini-Hochberg over all pairs; NaN on a deterministic task."""
    p_equivalence: Floats
    """NaN where n < 2 and on a deterministic task."""
    superiority: Floats


@dataclass(frozen=True)
class TaskComparisons:
    """The cells of a task, and the tests between them; it can be pickled."""

    card: TaskCard
    cells: Sequence[CellEvidence]
    basis: Basis
    ruleset: Ruleset

    def sample(self, cell: CellEvidence) -> Repetitions:
        """The repetitions of a cell that are ranked."""
        return cell.tuned if self.basis == "tuned" else cell.defaults

    @property
    def sign(self) -> float:
        """1 where larger scores are better, -1 where smaller ones are."""
        return 1.0 if self.card.metric.direction == "maximize" else -1.0

    @cached_property
    def ranked(self) -> list[CellEvidence]:
        """Cells that take part in tests: those that are complete and not stale.

        From best to worst mean, equal ones by slug; those without a completed repetition last.
        """
        found = [cell for cell in self.cells if not cell.stale and self.sample(cell).complete]
        means = aggregate.sample_means([self.sample(cell).values for cell in found]).tolist()

        def order(item: tuple[CellEvidence, float]) -> tuple[bool, float, str]:
            cell, mean = item
            completed = self.sample(cell).statuses.get("completed")
            return not completed, -self.sign * mean, cell.method

        return [cell for cell, _ in sorted(zip(found, means, strict=True), key=order)]

    @cached_property
    def reference(self) -> CellEvidence | None:
        """The reference's cell, if it takes part."""
        return next((cell for cell in self.ranked if cell.method == self.card.reference), None)

    @cached_property
    def anchors(self) -> aggregate.Anchors | None:
        """Chance and the mean of the tuned reference; None unless it is complete and better."""
        metric = self.card.metric
        for cell in self.cells:
            if cell.method == self.card.reference and not cell.stale and cell.tuned.complete:
                one, zero = float(np.mean(cell.tuned.values)), metric.chance
                # By more than rounding.
                skilled = self.sign * (one - zero) > 1e-9 * metric.margin
                return aggregate.Anchors(zero, one) if skilled else None
        return None

    @cached_property
    def tested(self) -> Tested:
        """All pairs of ranked methods that share a repetition."""
        none = np.empty(0, dtype=np.intp)
        parts = [self._tested(np.empty((0, 1)), none, none)]
        parts += [self._tested(*group) for group in _groups(self.scores)]
        together = [np.concatenate(column) for column in zip(*parts, strict=True)]
        order = np.lexsort((together[1], together[0]))
        found = Tested._make(column[order] for column in together)
        if self.card.deterministic:
            return found
        return found._replace(p=corrections.benjamini_hochberg(found.p))

    @property
    def scores(self) -> Floats:
        """Scores (ranked, repetitions), signed so that larger is better; NaN where missing."""
        found = [self.sample(cell).scores for cell in self.ranked]
        indices = sorted({index for scores in found for index in scores})
        rows = [[self.sign * scores.get(index, math.nan) for index in indices] for scores in found]
        return np.array(rows, dtype=np.float64).reshape(len(found), len(indices))

    def _tested(self, rows: Floats, first: Places, second: Places) -> Tested:
        """`tested` for pairs that share the repetitions of `rows`; p is not corrected."""
        p = p_equivalence = np.full(len(first), math.nan)
        differences = rows[first] - rows[second]
        n = differences.shape[1]
        if not self.card.deterministic:
            p = paired_tests.sign_flip_p(differences)
            if n > 1:
                p_equivalence = paired_tests.equivalence_ps(differences, self.card.metric.margin)
        shares = paired_tests.superiorities(differences)
        mean = differences.mean(axis=1)
        return Tested(first, second, np.full(len(first), n), mean, p, p_equivalence, shares)

    def differences(self, a: Repetitions, b: Repetitions) -> Floats:
        """Differences (n,) over the repetitions recorded for both; positive where `a` is better."""
        common = sorted(a.scores.keys() & b.scores.keys())
        return np.array([self.sign * (a.scores[i] - b.scores[i]) for i in common], dtype=np.float64)

    def compared(self, differences: Floats) -> Comparison:
        """The comparison from differences (n,), n > 0, before any correction."""
        return self.compared_rows(differences[np.newaxis])[0]

    def compared_rows(self, rows: Floats) -> list[Comparison]:
        """`compared` for each row of differences (m, n)."""
        margin = self.card.metric.margin
        if self.card.deterministic:
            return [paired_tests.deterministic(float(row.mean()), margin) for row in rows]
        return paired_tests.compared_rows(rows, margin=margin, ruleset=self.ruleset)


def all_comparisons(
    evidence: Evidence, catalogue: Catalogue, ruleset: Ruleset, basis: Basis = "tuned"
) -> tuple[list[TaskComparisons], list[str]]:
    """The tasks of the catalogue that have records, in its order, and a line for each problem."""
    found, problems = [], list(evidence.problems)
    for card, _ in catalogue.tasks.values():
        members, wrong = cells(card, evidence, catalogue, ruleset)
        problems += wrong
        if members:
            found.append(TaskComparisons(card, members, basis, ruleset))
    return found, problems


def versus_reference(task: TaskComparisons) -> dict[str, Comparison]:
    """Every other ranked method against the reference, Holm over these methods."""
    reference = task.reference
    if reference is None:
        return {}
    by_n: dict[int, dict[str, Floats]] = {}
    for cell in task.ranked:
        differences = task.differences(task.sample(cell), task.sample(reference))
        if cell is not reference and len(differences):
            by_n.setdefault(len(differences), {})[cell.method] = differences
    found: dict[str, Comparison] = {}
    for rows in by_n.values():
        found |= zip(rows, task.compared_rows(np.stack(list(rows.values()))), strict=True)
    tested = {method: c.p for method, c in found.items() if c.p is not None}
    for method, p in zip(tested, corrections.holm(list(tested.values())), strict=True):
        found[method] = paired_tests.adjusted(found[method], float(p), task.ruleset.alpha)
    return found


def ranks(task: TaskComparisons) -> dict[str, tuple[int, int]]:
    """Rank intervals from all pairs of ranked methods."""
    tested = task.tested
    if task.card.deterministic:
        shown = np.abs(tested.difference) > task.card.metric.margin
    else:
        shown = tested.p <= task.ruleset.alpha
    found = np.zeros((len(task.ranked),) * 2, dtype=np.bool_)
    first, second, wins = tested.first[shown], tested.second[shown], tested.difference[shown] > 0
    found[first, second], found[second, first] = wins, ~wins
    methods = [cell.method for cell in task.ranked]
    return dict(zip(methods, corrections.rank_intervals(found), strict=True))


def pairs(task: TaskComparisons) -> list[Pair]:
    """All pairs of ranked methods that share a repetition, with intervals: the win matrix."""
    methods = [cell.method for cell in task.ranked]
    intervals = {} if task.card.deterministic else _intervals(task)
    tested = task.tested
    margin, alpha = task.card.metric.margin, task.ruleset.alpha
    found = []
    for a, b, n, difference, *p, share in zip(*(c.tolist() for c in tested), strict=True):
        adjusted, equivalent = (None if math.isnan(value) else value for value in p)
        if adjusted is None:
            verdict = paired_tests.deterministic(difference, margin).verdict
        else:
            verdict = paired_tests.verdict(difference, adjusted, equivalent, alpha)
        interval = intervals.get((a, b))
        found.append(
            Pair(methods[a], methods[b], n, difference, interval, adjusted, share, verdict)
        )
    return found


def _intervals(task: TaskComparisons) -> dict[tuple[int, int], Interval | None]:
    """BCa intervals of pairs, by the places of the two methods."""
    found: dict[tuple[int, int], Interval | None] = {}
    for rows, first, second in _groups(task.scores):
        places = zip(first.tolist(), second.tolist(), strict=True)
        bounds = paired_tests.bca_intervals(rows[first] - rows[second], task.ruleset.confidence)
        found |= zip(places, bounds, strict=True)
    return found


def _groups(scores: Floats) -> Iterator[tuple[Floats, Places, Places]]:
    """Pairs of methods grouped by the repetitions that both have.

    Args:
        scores: (methods, repetitions); NaN where a repetition is missing.

    Yields:
        The scores of these repetitions, and the places of the first and second of each pair. Rows
        of methods that are in no pair of the group may hold NaN.
    """
    kinds, kind_of = np.unique(~np.isnan(scores), axis=0, return_inverse=True)
    first, second = np.triu_indices(len(scores), 1)
    both = kind_of[first] * len(kinds) + kind_of[second]
    for value in np.unique(both):
        picked = np.flatnonzero(both == value)
        common = kinds[value // len(kinds)] & kinds[value % len(kinds)]
        if common.any():
            yield scores[:, common], first[picked], second[picked]
