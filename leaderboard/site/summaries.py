"""The part of a site that several tasks make together: rankings of a family, or of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from leaderboard.budgets import Trials
from leaderboard.contest import Contest
from leaderboard.evidence import Cell
from leaderboard.paired import Part
from leaderboard.site.parts import TaskPart
from leaderboard.summary import summarise
from leaderboard.tables import Basis, BudgetTable, Summary
from suite.cards import TaskCard
from suite.ruleset import Ruleset


class GroupPart(Part):
    """A family, or all of them."""

    tuned: Summary
    defaults: Summary
    budgets: list[BudgetTable]


@dataclass(frozen=True)
class Member:
    """A task as a group needs it: scores alone."""

    card: TaskCard
    cells: Sequence[Cell]
    trials: Mapping[str, Trials]

    @classmethod
    def of(cls, card: TaskCard, part: TaskPart) -> Member:
        """What of a task's part its groups need."""
        trials = {
            method: Trials(tuple(numbers), np.array(tests))
            for method, (numbers, tests) in part.trials.items()
        }
        return cls(card, part.cells, trials)

    def contest(self, basis: Basis, ruleset: Ruleset) -> Contest:
        """The task under work."""
        return Contest(self.card, self.cells, basis, ruleset)


def make(name: str, members: Sequence[Member], ruleset: Ruleset) -> GroupPart:
    """Rank the methods of a group at every tuning budget."""
    contests = {
        basis: [member.contest(basis, ruleset) for member in members]
        for basis in ("tuned", "defaults")
    }
    tuned = summarise(name, contests["tuned"])
    defaults = summarise(name, contests["defaults"])
    return GroupPart(tuned=tuned, defaults=defaults, budgets=[])
