"""All pairs of methods of a task, compared and judged together.

Benjamini-Hochberg says which pairs differ. All intervals are then drawn at the level that belongs
to the number of pairs that passed, so that each excludes 0 exactly where its pair passed.
Source: Benjamini and Yekutieli, "False discovery rate-adjusted multiple confidence intervals for
selected parameters", J. Am. Stat. Assoc. 2005.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from assay_leaderboard.schema.values import Comparison, Floats, Interval, PairFamily
from assay_leaderboard.statistics import sign_flips, subset_means, verdicts
from assay_leaderboard.statistics.corrections import benjamini_hochberg
from assay_leaderboard.statistics.subset_means import as_written


def judge(
    rows: Sequence[Floats], margin: float, rate: float
) -> tuple[PairFamily, list[Comparison]]:
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
    numbers = _Numbers.of(rows)
    m, passed = len(rows), benjamini_hochberg(numbers.p, rate)
    error = max(passed, 1) * as_written(rate) / max(m, 1)
    family = PairFamily(pairs=m, passed=passed, rate=rate, level=float(1 - error))
    return family, [*_comparisons(rows, numbers, error, margin)]


def unjudged(rows: Sequence[Floats], error: float | Fraction) -> list[Comparison]:
    """Comparisons without a verdict, of preliminary pairs, which belong to no family.

    Args:
        rows: paired differences (n,) of each; see `judge`.
        error: 1 minus the level of each interval.
    """
    return [*_comparisons(rows, _Numbers.of(rows), error, None)]


class _Numbers(NamedTuple):
    """What all pairs have apart from their intervals; each (m,)."""

    difference: Floats
    p: Floats
    superiority: Floats
    sd: Floats
    """Sample standard deviation of the differences; 0 for a single one."""

    @classmethod
    def of(cls, rows: Sequence[Floats]) -> _Numbers:
        """From the differences of each pair."""
        found = cls(*np.empty((4, len(rows))))
        for places, block in _alike(rows):
            found.difference[places] = block.mean(axis=1)
            found.p[places] = sign_flips.p_values(block)
            found.superiority[places] = sign_flips.superiorities(block)
            found.sd[places] = _sds(block)
        return found


def _comparisons(
    rows: Sequence[Floats], numbers: _Numbers, error: float | Fraction, margin: float | None
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


def _alike(rows: Sequence[Floats]) -> Iterator[tuple[list[int], Floats]]:
    """The places of the rows of each length, and these rows as an array."""
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
