"""Which methods are shown to be better than which over several tasks, from paired draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay_leaderboard.schema.values import Floats
from assay_leaderboard.statistics.corrections import benjamini_hochberg

_ROUNDING = 1e-12
"""Draws closer than this times (1 + their size) are equal but for rounding."""

Places = NDArray[np.intp]


def bootstrap_p(draws: Floats, first: Places, second: Places) -> Floats:
    """Two-sided p-values (pairs,) of "no difference" from paired bootstrap draws.

    Twice the share of draws in which the method that is better more often is not better, counting
    the sample itself as one.
    Source: Davison and Hinkley, "Bootstrap methods and their application", 1997, section 4.4.

    Args:
        draws: of each method (m, draws).
        first: the first method of each pair.
        second: the second.
    """
    n_draws = draws.shape[1]
    slack = _ROUNDING * (1 + np.abs(draws))
    least, most = draws - slack, draws + slack
    smallest, largest = draws.min(axis=1), draws.max(axis=1)
    rarer = np.zeros(len(first))
    # In most pairs all draws of one lie above those of the other: nothing to count.
    near = (least.min(axis=1)[first] <= largest[second]) & (
        smallest[second] <= most.max(axis=1)[first]
    )
    for pair in np.flatnonzero(near).tolist():
        i, j = first[pair], second[pair]
        below = np.count_nonzero(least[i] <= draws[j])
        if 2 * below > n_draws:  # otherwise it is the rarer, whatever ties there are
            below = min(below, np.count_nonzero(most[i] >= draws[j]))
        rarer[pair] = below
    return np.asarray(np.minimum(1.0, 2 * (1 + rarer) / (1 + n_draws)))


@dataclass(frozen=True)
class Contrasts:
    """The differences of pairs of m methods; arrays (pairs,)."""

    m: int
    first: Places
    second: Places
    difference: Floats
    """Of the scores on the tasks that both have."""
    p: Floats
    """Two-sided, from the paired bootstrap of the difference; not corrected."""

    @classmethod
    def none(cls, m: int) -> Contrasts:
        """No pairs."""
        places = np.empty(0, dtype=np.intp)
        return cls(m, places, places, np.empty(0), np.empty(0))

    @classmethod
    def joined(cls, parts: Sequence[Contrasts]) -> Contrasts:
        """All pairs of one or more parts of the same methods."""
        columns = zip(*((x.first, x.second, x.difference, x.p) for x in parts), strict=True)
        return cls(parts[0].m, *map(np.concatenate, columns))

    def beats(self, margin: float, rate: float) -> NDArray[np.bool_]:
        """(m, m): [i, j] says that i is shown to be better than j, Benjamini-Hochberg over pairs.

        Differences up to `margin` do not count, however certain.
        """
        found = np.zeros((self.m, self.m), dtype=np.bool_)
        passed = benjamini_hochberg(self.p, rate)
        largest = np.sort(self.p)[passed - 1] if passed else -1.0
        shown = (self.p <= largest) & (np.abs(self.difference) > margin)
        wins = self.difference > 0
        winners = np.where(wins, self.first, self.second)
        losers = np.where(wins, self.second, self.first)
        found[winners[shown], losers[shown]] = True
        return found
