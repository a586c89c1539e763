"""The rankings in words: which methods lead a family or task at a tuning budget.

Nothing is computed here: ties, ranks and verdicts are those of the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from assay_leaderboard.format import NORMALISED, Format, budget_text
from assay_leaderboard.schema.board import Board, BudgetTable, TaskTable
from assay_leaderboard.schema.values import Comparison
from assay_leaderboard.site.html.table import Table
from assay_leaderboard.site.html.text import span, verdict
from assay_leaderboard.site.pages.cells import SHOWN
from assay_leaderboard.site.views import SiteView

GAINS = 5
"""Gains that a family's answer shows; most families have no more tasks."""


@dataclass(frozen=True)
class Gain:
    """How the first method of a family compares with the reference on one of its tasks."""

    task: str
    title: str
    reference: str
    text: Markup
    """Paired gain on the reference and its interval, in the metric's unit."""
    n: int
    verdict: Markup


@dataclass(frozen=True)
class Top:
    """The tie group at the top of a ranking."""

    top: Sequence[str]
    """Best score first."""
    n_ranked: int
    references: Sequence[str]
    """Of the tasks, each once."""
    alone: bool
    """The first is shown to be better than every other method."""

    @property
    def shown(self) -> Sequence[str]:
        """The methods at the top that are named."""
        return self.top[:SHOWN]

    @property
    def more(self) -> int:
        """How many methods at the top are not named."""
        return max(0, len(self.top) - SHOWN)

    @property
    def behind(self) -> int:
        """Methods shown to be worse than another."""
        return self.n_ranked - len(self.top)

    @property
    def reference_on_top(self) -> bool:
        """All tasks have the same reference, and no method is shown to beat it."""
        return len(self.references) == 1 and self.references[0] in self.top


@dataclass(frozen=True)
class Ranking:
    """One tuning budget on the page of a task or family (templates/rankings.html)."""

    k: int
    name: str
    answer: Top | None
    table: Table
    picture: Markup | str = ""
    """Empty where there is none."""


@dataclass(frozen=True)
class Answer(Top):
    """One family at one budget."""

    name: str
    k: int
    score: Markup
    """Normalised score of the first of the top."""
    n_tasks: int
    fewest_tasks: int
    """Tasks of the method that can enter the fewest; it is compared with others on these alone."""
    gains: Sequence[Gain]
    """Of the first method."""
    n_gains: int
    losses: Mapping[str, Sequence[str]]
    """Tasks on which a method is worse than their reference, for those of `shown` that are."""


def top(ranks: Mapping[str, tuple[int, int]], references: Iterable[str]) -> Top | None:
    """The methods that lead; None where nothing is ranked.

    Args:
        ranks: by method, best score first.
        references: of each of the tasks.
    """
    first = [method for method, rank in ranks.items() if rank[0] == 1]
    if not first:
        return None
    return Top(first, len(ranks), sorted(set(references)), ranks[first[0]] == (1, 1))


def of_table(table: BudgetTable, references: Iterable[str]) -> Top | None:
    """The methods that lead a family at one budget."""
    return top({row.method: row.rank for row in table.rows}, references)


def budgets(view: SiteView) -> list[int]:
    """Positions of the slider."""
    return sorted({table.k for table in view.budgets})


def budget_name(k: int) -> str:
    """A position of the slider in words."""
    text = budget_text(k)
    return text[:1].upper() + text[1:]


def answer(view: SiteView, table: BudgetTable) -> Answer | None:
    """The answer of `table`; None where nothing is ranked."""
    tasks = _tasks(view.board, table.name)
    found = of_table(table, (task.reference for task in tasks))
    if found is None:
        return None
    first = next(row for row in table.rows if row.method == found.top[0])
    gains = _gains(view, tasks, first.method, table.k)
    losses = {
        method: [
            task.task
            for task in tasks
            if (versus := _versus(view, task.task, method, table.k)) and versus.verdict == "worse"
        ]
        for method in found.shown
    }
    return Answer(
        top=found.top,
        n_ranked=found.n_ranked,
        references=found.references,
        alone=found.alone,
        name=table.name,
        k=table.k,
        score=span(NORMALISED, first.score, first.interval),
        n_tasks=len(tasks),
        fewest_tasks=min(row.n_tasks for row in table.rows),
        gains=gains[:GAINS],
        n_gains=len(gains),
        losses={method: lost for method, lost in losses.items() if lost},
    )


def _tasks(board: Board, name: str) -> list[TaskTable]:
    """The anchored tasks behind a summary."""
    summaries = [*board.families, *([board.overall] if board.overall else [])]
    own = {task for summary in summaries if summary.name == name for task in summary.tasks}
    return [table for table in board.tasks if table.task in own]


def _gains(view: SiteView, tasks: Sequence[TaskTable], method: str, k: int) -> list[Gain]:
    found = []
    for task in tasks:
        versus = _versus(view, task.task, method, k)
        if versus is None or versus.verdict is None:
            continue
        form = Format(task.unit, task.margin)
        unit = "points" if task.unit == "share" else task.unit
        text = span(form, versus.difference, versus.interval, "+") + f" {unit}"
        word = verdict(versus.verdict)
        found.append(Gain(task.task, task.title, task.reference, text, versus.n, word))
    return found


def _versus(view: SiteView, task: str, method: str, k: int) -> Comparison | None:
    """The comparison of a method with the task's reference at a budget."""
    points = view.standings.get(task, {}).get(method, ())
    return next((point.versus_reference for point in points if point.k == k), None)


def by_budget(view: SiteView) -> Mapping[int, list[Answer]]:
    """The answers of all families at each position of the slider, in the order of `view.budgets`.

    A family that was tuned with fewer points than a position answers with its largest budget.
    """
    tables: dict[str, list[BudgetTable]] = {}
    for table in view.budgets:
        tables.setdefault(table.name, []).append(table)
    found: dict[int, list[Answer]] = {}
    for k in budgets(view):
        nearest = [[t for t in own if t.k <= k][-1:] for own in tables.values()]
        found[k] = [made for near in nearest for t in near if (made := answer(view, t))]
    return found
