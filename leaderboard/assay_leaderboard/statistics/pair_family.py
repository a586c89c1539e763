"""All pairs of methods of a task, compared and judged together.

Benjamini-Hochberg says which pairs differ. All intervals are then drawn at the level that belongs
to the number of pairs that passed, so that each excludes 0 exactly where its pair passed.
Source: Benjamini and Yekutieli, "False discovery rate-adjusted multiple confidence intervals for
selected parameters", J. Am. Stat. Assoc. 2005.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay_leaderboard.schema.values import Comparison, Floats, Interval, PairFamily
from assay_leaderboard.statistics import sign_flips, subset_means, verdicts
from assay_leaderboard.statistics.corrections import benjamini_hochberg
from assay_leaderboard.statistics.subset_means import as_written

Rows = Sequence[Floats] | Floats
"""Differences (n,) of each of m pairs; faster as an array (m, n), where all have equally many."""


def judge(rows: Rows, margin: float, rate: float) -> tuple[PairFamily, list[Comparison]]:
    """Compare all pairs of a task and give each its verdict.

    Args:
        rows: paired differences (n,) of each pair, positive where its first method is better; n
            from 1 to 16, and not the same for all pairs where some have more repetitions.
        margin: the task's; in the unit of the differences.
        rate: q, the false-discovery rate.

    Returns:
        The family, and the comparison of each pair, in order.

    Raises:
        ValueError: a pair has no or too many repetitions.
    """
    judgement = Judgement.of(rows, margin, rate)
    return judgement.family, judgement.comparisons()


@dataclass(frozen=True, eq=False)
class Judgement:
    """All pairs of a task after the correction; comparisons are made of those that are asked for.

    The intervals of all pairs of 100 methods at every tuning budget would take most of the time of
    a board.
    """

    rows: Rows
    """Paired differences (n,) of each pair."""
    margin: float
    family: PairFamily
    error: Fraction
    """1 minus the level of the family's intervals."""
    p: Floats
    """(m,) exact sign-flip tests, not corrected."""

    @classmethod
    def of(cls, rows: Rows, margin: float, rate: float) -> Judgement:
        """Judge all pairs; arguments and errors are those of `judge`."""
        p = _p_values(rows)
        m, passed = len(rows), benjamini_hochberg(p, rate)
        error = max(passed, 1) * as_written(rate) / max(m, 1)
        family = PairFamily(pairs=m, passed=passed, rate=rate, level=float(1 - error))
        return cls(rows, margin, family, error, p)

    def comparisons(self, places: Sequence[int] | None = None) -> list[Comparison]:
        """The comparisons of the pairs at some places, or of all, in order."""
        places = range(len(self.rows)) if places is None else places
        rows, p = _rows(self.rows, places), self.p[[*places]]
        return [*_comparisons(rows, _Numbers.of(rows, p), self.error, self.margin)]

    def winners(self) -> NDArray[np.int8]:
        """(m,): 1 where the verdict of a pair is "better", -1 where it is "worse", else 0.

        A pair that passed is better, worse or negligible. Intervals are needed only where the mean
        lies within the margin: an interval holds the mean, so the others are not negligible.
        """
        means = np.empty(len(self.rows))
        for places, block in _alike(self.rows):
            means[places] = block.mean(axis=1)
        tests = np.unique(self.p).tolist()
        last = max((p for p in tests if Fraction(p) <= self.error), default=-1.0)
        passed = self.p <= last
        found = np.where(passed, np.sign(means), 0).astype(np.int8)
        near = np.flatnonzero(passed & (np.abs(means) <= 2 * self.margin)).tolist()
        for place, comparison in zip(near, self.comparisons(near), strict=True):
            if comparison.verdict not in ("better", "worse"):
                found[place] = 0
        return found


def unjudged(rows: Rows, error: float | Fraction) -> list[Comparison]:
    """Comparisons without a verdict, of preliminary pairs, which belong to no family.

    Args:
        rows: paired differences (n,) of each; see `judge`.
        error: 1 minus the level of each interval.
    """
    return [*_comparisons(rows, _Numbers.of(rows, _p_values(rows)), error, None)]


def _p_values(rows: Rows) -> Floats:
    """The exact sign-flip test (m,) of each pair."""
    p = np.empty(len(rows))
    for places, block in _alike(rows):
        p[places] = sign_flips.p_values(block)
    return p


class _Numbers(NamedTuple):
    """What all pairs have apart from their intervals; each (m,)."""

    difference: Floats
    p: Floats
    superiority: Floats
    sd: Floats
    """Sample standard deviation of the differences; 0 for a single one."""

    @classmethod
    def of(cls, rows: Rows, p: Floats) -> _Numbers:
        """From the differences and the test of each pair."""
        found = cls(*np.empty((4, len(rows))))._replace(p=p)
        for places, block in _alike(rows):
            found.difference[places] = block.mean(axis=1)
            found.superiority[places] = sign_flips.superiorities(block)
            found.sd[places] = _sds(block)
        return found


def _comparisons(
    rows: Rows, numbers: _Numbers, error: float | Fraction, margin: float | None
) -> Iterator[Comparison]:
    """The comparison of each pair; without a verdict where there is no margin."""
    ends = np.empty((len(rows), 2))
    for places, block in _alike(rows):
        ends[places] = subset_means.intervals(block, error)
    columns = zip(rows, ends.tolist(), *(column.tolist() for column in numbers), strict=True)
    for row, (low, high), difference, p, superiority, sd in columns:
        n, interval, found, needed = len(row), Interval(low, high), None, None
        if margin is not None:
            found = verdicts.verdict(interval, margin, passed=Fraction(p) <= error)
        if margin is not None and found == "undecided":
            needed = verdicts.repetitions_needed(difference, sd, n, margin, error)
        yield Comparison(
            n=n,
            difference=difference,
            interval=interval,
            p=p,
            superiority=superiority,
            verdict=found,
            detectable=high / 2 - low / 2,
            repetitions_needed=needed,
        )


def _rows(rows: Rows, places: Sequence[int]) -> Rows:
    """The rows at some places."""
    if isinstance(rows, np.ndarray):
        return np.asarray(rows[[*places]])
    return [rows[place] for place in places]


def _alike(rows: Rows) -> Iterator[tuple[list[int] | slice, Floats]]:
    """The places of the rows of each length, and these rows as an array."""
    if isinstance(rows, np.ndarray):
        yield slice(None), rows
        return
    places: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(len(row), []).append(place)
    for members in places.values():
        yield members, np.array([rows[place] for place in members], dtype=np.float64)


def _sds(rows: Floats) -> Floats:
    """Sample standard deviations (m,) of rows (m, n); 0 where n < 2."""
    m, n = rows.shape
    unit = np.abs(rows).max(axis=1, keepdims=True)
    unit[unit == 0] = 1.0  # squares of large numbers would overflow
    return np.asarray(unit[:, 0] * (rows / unit).std(axis=1, ddof=1)) if n > 1 else np.zeros(m)
