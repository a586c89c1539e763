"""Which methods are shown to be better than which, from paired bootstrap draws."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from assay_leaderboard.schema.values import Floats
from assay_leaderboard.statistics.corrections import benjamini_hochberg
from assay_leaderboard.statistics.exact_sums import inner_products

_ROUNDING = 1e-12
"""Draws closer than this times (1 + their size) are equal but for rounding."""


Places = NDArray[np.intp]


def lost_by_spread(iqm: Floats, draws: Floats, margin: float, alpha: float) -> NDArray[np.intp]:
    """How many others are shown to be better than each of m methods, (m,): see `Contrasts.beats`.

    For few draws: p comes from their standard deviation, as if they were normal. Counting draws, as
    Contrasts does, would need thousands for a p that survives the correction.

    Args:
        iqm: the means (m,).
        draws: few paired draws of them (m, draws).
        margin: differences up to it are not counted.
        alpha: level of Benjamini-Hochberg over all pairs.
    """
    products = inner_products(draws - draws.mean(axis=1, keepdims=True)) / draws.shape[1]
    own, (i, j) = np.diagonal(products), np.triu_indices(len(iqm), 1)
    error = np.sqrt(np.maximum(0.0, own[i] + own[j] - 2 * products[i, j]))
    difference = iqm[i] - iqm[j]
    size = np.abs(difference)
    distance = size / np.maximum(error, 1e-12)  # no spread: the difference is certain
    # Benjamini-Hochberg compares the k-th smallest p with alpha k / n; so here their quantiles.
    reached = np.sort(distance)[::-1]
    reached = reached[reached >= _quantiles(len(reached), alpha)]
    shown = (size > margin) & (distance >= reached.min(initial=math.inf))
    return np.bincount(np.where(difference > 0, j, i)[shown], minlength=len(iqm))


@functools.lru_cache(maxsize=4)
def _quantiles(n: int, alpha: float) -> Floats:
    """Two-sided normal quantiles for p = alpha k / n, k = 1..n."""
    found: Floats = -ndtri(alpha * np.arange(1, n + 1) / n / 2)
    found.setflags(write=False)
    return found


def _slack(draws: Floats) -> Floats:
    """How far each draw may be from an equal one, by rounding."""
    return _ROUNDING * (1 + np.abs(draws))


@dataclass(frozen=True)
class Contrasts:
    """The differences of interquartile means of all pairs of m methods."""

    iqm: Floats
    """(m,)"""
    p: Floats
    """(m, m) two-sided, from the paired bootstrap of the difference; not corrected."""

    @classmethod
    def of(cls, iqm: Floats, draws: Floats) -> Contrasts:
        """From the means (m,) and their paired draws (m, draws)."""
        if len(iqm) < 2:
            return cls(iqm, np.ones((len(iqm), len(iqm))))
        # In most pairs all draws of one lie above those of the other: nothing to count.
        smallest, largest = draws.min(axis=1), draws.max(axis=1)
        near = np.triu((smallest - _slack(smallest))[:, np.newaxis] <= largest, 1)
        counts = np.zeros(near.shape)
        for i in np.flatnonzero(near.any(axis=1)).tolist():
            slack = _slack(draws[i])
            least, most = draws[i] - slack, draws[i] + slack
            for j in np.flatnonzero(near[i]).tolist():
                rarer = np.count_nonzero(least <= draws[j])
                if 2 * rarer > draws.shape[1]:  # else it is the rarer, whatever ties there are
                    rarer = min(rarer, np.count_nonzero(most >= draws[j]))
                counts[i, j] = counts[j, i] = rarer
        p = np.minimum(1.0, 2 * (1 + counts) / (1 + draws.shape[1]))
        np.fill_diagonal(p, 1.0)
        return cls(iqm, p)

    def beats(self, margin: float, alpha: float) -> NDArray[np.bool_]:
        """(m, m): [i, j] says that i is shown to be better than j, Benjamini-Hochberg over pairs.

        Differences up to `margin` do not count: deterministic tasks have no spread, so any
        difference on them would be significant.
        """
        found = np.zeros(self.p.shape, dtype=np.bool_)
        winners, losers, p, large = self._pairs(margin)
        shown = large & (benjamini_hochberg(p) <= alpha)
        found[winners[shown], losers[shown]] = True
        return found

    def lost_without(self, margin: float, alpha: float) -> NDArray[np.intp]:
        """(m, m): [i, j] is how many methods beat j if i is left out of the correction.

        The pairs without i keep their p, with fewer pairs to correct for; wins of i still count.
        """
        m = len(self.iqm)
        lost = self.beats(margin, alpha).astype(np.intp)
        winners, losers, p, large = self._pairs(margin)
        for place in range(m):
            kept = (winners != place) & (losers != place)
            shown = large[kept] & (benjamini_hochberg(p[kept]) <= alpha)
            lost[place] += np.bincount(losers[kept][shown], minlength=m)
        return lost

    def _pairs(self, margin: float) -> tuple[Places, Places, Floats, NDArray[np.bool_]]:
        """The better and the worse of each pair, p, and whether they differ by more than `margin`.

        By increasing p, so that the many corrections that follow need not sort.
        """
        first, second = np.triu_indices(len(self.iqm), 1)
        order = np.argsort(self.p[first, second], kind="stable")
        first, second = first[order], second[order]
        difference = self.iqm[first] - self.iqm[second]
        wins = difference > 0
        winners, losers = np.where(wins, first, second), np.where(wins, second, first)
        return winners, losers, self.p[first, second], np.abs(difference) > margin
