"""One task under work: which methods take part, and what all tests between them say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from leaderboard import aggregate, multiple, paired
from leaderboard.evidence import Catalogue, Cell, Evidence, Repetitions, cells
from leaderboard.paired import Comparison
from leaderboard.tables import Basis
from suite.cards import TaskCard
from suite.ruleset import Ruleset


@dataclass(frozen=True)
class Contest:
    """A task under work."""

    card: TaskCard
    cells: Sequence[Cell]
    basis: Basis
    ruleset: Ruleset

    def sample(self, cell: Cell) -> Repetitions:
        """The repetitions that are ranked."""
        return cell.tuned if self.basis == "tuned" else cell.defaults

    @cached_property
    def ranked(self) -> list[Cell]:
        """Cells that take part in tests."""
        return [cell for cell in self.cells if not cell.stale and self.sample(cell).complete]

    @cached_property
    def reference(self) -> Cell | None:
        """The reference's cell, if it takes part."""
        return next((cell for cell in self.ranked if cell.method == self.card.reference), None)

    @cached_property
    def anchors(self) -> aggregate.Anchors | None:
        """Chance and the mean of the tuned reference; they do not move with `basis`."""
        metric = self.card.metric
        for cell in self.cells:
            if cell.method == self.card.reference and not cell.stale and cell.tuned.complete:
                one, zero = float(np.mean(cell.tuned.values)), metric.chance
                gain = one - zero if metric.direction == "maximize" else zero - one
                # Relative to the margin, so that rounding is never taken for skill.
                return aggregate.Anchors(zero, one) if gain > 1e-9 * metric.margin else None
        return None

    def differences(self, a: Repetitions, b: Repetitions) -> paired.Floats:
        """Differences (n,) over the repetitions recorded for both; positive where `a` is better."""
        sign = 1.0 if self.card.metric.direction == "maximize" else -1.0
        common = sorted(a.scores.keys() & b.scores.keys())
        return np.array([sign * (a.scores[i] - b.scores[i]) for i in common], dtype=np.float64)

    def compared(self, differences: paired.Floats) -> Comparison:
        """What oriented differences (n,) say, n > 0, before any correction."""
        margin = self.card.metric.margin
        if self.card.deterministic:
            return paired.deterministic(float(differences.mean()), margin)
        return paired.compared(
            differences, stratum=self.card.slug, margin=margin, ruleset=self.ruleset
        )


def contests(
    evidence: Evidence, catalogue: Catalogue, ruleset: Ruleset, basis: Basis = "tuned"
) -> tuple[list[Contest], list[str]]:
    """The tasks of the catalogue that have records, in its order, and what was wrong with them."""
    found, problems = [], list(evidence.problems)
    for card, _ in catalogue.tasks.values():
        members, wrong = cells(card, evidence, catalogue, ruleset)
        problems += wrong
        if members:
            found.append(Contest(card, members, basis, ruleset))
    return found, problems


def versus_reference(contest: Contest) -> dict[str, Comparison]:
    """Every other ranked method against the reference, Holm over these methods."""
    reference = contest.reference
    if reference is None:
        return {}
    found: dict[str, Comparison] = {}
    for cell in contest.ranked:
        differences = contest.differences(contest.sample(cell), contest.sample(reference))
        if cell is not reference and len(differences):
            found[cell.method] = contest.compared(differences)
    tested = {method: c.p for method, c in found.items() if c.p is not None}
    for method, p in zip(tested, multiple.holm(list(tested.values())), strict=True):
        found[method] = paired.adjusted(found[method], float(p), contest.ruleset.alpha)
    return found


def ranks(contest: Contest) -> dict[str, tuple[int, int]]:
    """Rank intervals from all pairs of ranked methods."""
    intervals = multiple.rank_intervals(_beats(contest))
    methods = [cell.method for cell in contest.ranked]
    return dict(zip(methods, intervals, strict=True))


def _beats(contest: Contest) -> NDArray[np.bool_]:
    """(m, m): who is shown to be better than whom; Benjamini-Hochberg over all pairs."""
    ranked = contest.ranked
    found = np.zeros((len(ranked), len(ranked)), dtype=np.bool_)
    differences: dict[tuple[int, int], paired.Floats] = {}
    for i, a in enumerate(ranked):
        for j in range(i + 1, len(ranked)):
            pair = contest.differences(contest.sample(a), contest.sample(ranked[j]))
            if len(pair):
                differences[i, j] = pair
    if contest.card.deterministic:
        significant = {
            key: abs(float(pair.mean())) > contest.card.metric.margin
            for key, pair in differences.items()
        }
    else:
        p = multiple.benjamini_hochberg(_sign_flips(list(differences.values())))
        significant = dict(zip(differences, p <= contest.ruleset.alpha, strict=True))
    for (i, j), shown in significant.items():
        if shown:
            i_wins = differences[i, j].mean() > 0
            found[i, j], found[j, i] = i_wins, not i_wins
    return found


def _sign_flips(pairs: Sequence[paired.Floats]) -> list[float]:
    """The p of each pair; those with equally many repetitions are tested together."""
    p = np.ones(len(pairs))
    for n in sorted({len(pair) for pair in pairs}):
        members = [i for i, pair in enumerate(pairs) if len(pair) == n]
        p[members] = paired.sign_flip_p(np.stack([pairs[i] for i in members]))
    return p.tolist()
