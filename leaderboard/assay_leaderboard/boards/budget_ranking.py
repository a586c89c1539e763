"""The rankings at every tuning budget k: the positions of the slider.

Each is a ranking as that of the board, from the scores at that budget; k = K is the board itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from assay_leaderboard.boards.family_ranking import Field, Ranking
from assay_leaderboard.boards.task_budgets import budgets
from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.evidence.runs import Catalogue
from assay_leaderboard.schema.board import BudgetRow, BudgetTable
from assay_leaderboard.statistics.result_cache import ResultCache


def budget_tables(
    groups: Sequence[tuple[str, Sequence[TaskComparisons]]],
    catalogue: Catalogue,
    cache: ResultCache | None = None,
) -> list[BudgetTable]:
    """The tables of groups of tasks of one tier, by group and increasing budget.

    Args:
        groups: name and tasks of each, as `boards.board.groups` makes them; the budget of the
            tasks does not matter.
        catalogue: says which tasks a method may enter.
        cache: bootstraps of an earlier call; those of this call are added.
    """
    tasks = {task.card.slug: task for _, members in groups for task in members}
    found: list[BudgetTable] = []
    for k in budgets([*tasks.values()]):
        at_k = {slug: replace(task, budget=k) for slug, task in tasks.items()}
        field = Field([*at_k.values()], catalogue, next(iter(tasks.values())).ruleset, cache)
        found += [
            _table(name, k, field, [at_k[task.card.slug] for task in members])
            for name, members in groups
        ]
    names = [name for name, _ in groups]
    return sorted(found, key=lambda table: (names.index(table.name), table.k))


def _table(name: str, k: int, field: Field, work: Sequence[TaskComparisons]) -> BudgetTable:
    """One group at one budget; empty where no task has an anchor, or at the paper tier."""
    ranking = Ranking(field, field.families(work))
    rows = []
    columns = ranking.methods, ranking.scores(), ranking.ranks()
    for method, (score, interval), rank in zip(*columns, strict=True):
        if rank is not None:
            n_tasks = sum(task in field.scores[method] for task in ranking.tasks)
            rows.append(BudgetRow(method, n_tasks, score, interval, rank))
    return BudgetTable(name=name, k=k, rows=rows)
