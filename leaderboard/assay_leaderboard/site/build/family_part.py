"""The part of a site that several tasks make together: rankings of a family, or of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from assay.cards import SubmissionCard, TaskCard
from assay.ruleset import Ruleset
from markupsafe import Markup

from assay_leaderboard.boards.board import assembled
from assay_leaderboard.boards.budget_ranking import budget_tables
from assay_leaderboard.boards.family_ranking import summarise
from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.schema.board import Basis, Board, BudgetTable, FamilySummary, TaskTable
from assay_leaderboard.schema.values import Part
from assay_leaderboard.site.build.task_part import TaskPart
from assay_leaderboard.site.html.links import Links
from assay_leaderboard.site.pages import FamilyScores, family_entries, family_page
from assay_leaderboard.statistics.result_cache import ResultCache
from assay_leaderboard.statistics.tuning_budgets import Trials


class GroupPart(Part):
    """A family, or all of them."""

    tuned: FamilySummary
    defaults: FamilySummary
    budgets: list[BudgetTable]
    compared: dict[str, str]
    """What the compare page says of each method here, as JSON."""


@dataclass(frozen=True)
class Member:
    """A task as a group needs it: scores alone."""

    card: TaskCard
    contests: Mapping[Basis, TaskComparisons]
    trials: Mapping[str, Trials]
    tuned: TaskTable
    """With the reference's row alone."""
    scores: Mapping[str, str]
    """What the part says of each method for the pages of families."""

    @classmethod
    def of(cls, card: TaskCard, part: TaskPart, ruleset: Ruleset) -> Member:
        """What of a task's part its groups need."""
        contests: dict[Basis, TaskComparisons] = {
            basis: TaskComparisons(card, part.cells, basis, ruleset) for basis in get_args(Basis)
        }
        for contest in contests.values():
            _ = contest.ranked, contest.anchors  # kept there: each task is in two groups
        trials = {
            method: Trials(tuple(numbers), np.array(tests))
            for method, (numbers, tests) in part.trials.items()
        }
        rows = [row for row in part.tuned.rows if row.is_reference]
        table = part.tuned.model_copy(update={"rows": rows})
        return cls(card, contests, trials, table, part.scores)


def make(name: str, members: Sequence[Member], ruleset: Ruleset, memo: ResultCache) -> GroupPart:
    """Rank the methods of a group at every tuning budget.

    Args:
        name: of the group.
        members: its tasks.
        ruleset: of all.
        memo: what was computed for the group before.
    """

    def board(basis: Basis) -> Board:
        work = [member.contests[basis] for member in members]
        tables = [member.tuned for member in members]
        return assembled(tables, [summarise(name, work, memo)], [], ruleset, basis)

    tuned, defaults = board("tuned"), board("defaults")
    trials = {member.card.slug: member.trials for member in members}
    summary = tuned.overall or tuned.families[0]
    return GroupPart(
        tuned=summary,
        defaults=defaults.overall or defaults.families[0],
        budgets=budget_tables(tuned, defaults, trials, ruleset, memo),
        compared=family_entries(summary),
    )


def pages(
    part: GroupPart,
    members: Sequence[Member],
    methods: Mapping[str, SubmissionCard],
    links: Links,
) -> dict[str, str]:
    """{file: HTML} of the page of a group, given what `make` made of its members."""
    scores = {
        member.card.slug: FamilyScores(
            member.tuned.reference,
            {method: Markup(cell) for method, cell in member.scores.items()},
        )
        for member in members
    }
    return family_page(part.tuned, part.budgets, scores, methods, links)
