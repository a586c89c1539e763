"""The rankings in words: which methods lead a family at a tuning budget.

Nothing is computed here: ties, ranks and verdicts are those of the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from assay_leaderboard.format import NORMALISED, Format
from assay_leaderboard.schema.board import Board, BudgetTable, Row, TaskTable
from assay_leaderboard.site.html.text import span
from assay_leaderboard.site.views import SiteView

SHOWN = 3
"""Most methods and tasks that are named; the others are counted."""


@dataclass(frozen=True)
class Gain:
    """How the first method of a family compares with the reference on one of its tasks."""

    task: str
    title: str
    reference: str
    text: Markup
    """Paired gain on the reference and its interval, in the metric's unit."""
    n: int
    verdict: str


@dataclass(frozen=True)
class Top:
    """The tie group at the top of a family at one budget."""

    top: Sequence[str]
    """Best score first."""
    references: Sequence[str]
    """Of the family's tasks, each once."""

    @property
    def shown(self) -> Sequence[str]:
        """The methods at the top that are named."""
        return self.top[:SHOWN]

    @property
    def more(self) -> int:
        """How many methods at the top are not named."""
        return max(0, len(self.top) - SHOWN)

    @property
    def reference_on_top(self) -> bool:
        """All tasks have the same reference, and no method is shown to beat it."""
        return len(self.references) == 1 and self.references[0] in self.top


@dataclass(frozen=True)
class Answer(Top):
    """One family at one budget."""

    name: str
    k: int
    score: Markup
    """Normalised score of the first of the top."""
    n_methods: int
    n_tasks: int
    gains: Sequence[Gain]
    """Of the first method; empty at budgets without repetitions of their own."""
    n_gains: int

    @property
    def behind(self) -> int:
        """Methods shown to be worse than another."""
        return self.n_methods - len(self.top)


def budgets(view: SiteView) -> list[int]:
    """Positions of the slider."""
    return sorted({table.k for table in view.budgets})


def basis_text(k: int, largest: int) -> str:
    """A position of the slider in words."""
    if k == 0:
        return "Published defaults, no tuning"
    trials = "1 trial" if k == 1 else f"{k} trials"
    return f"Tuned with {trials}" if k == largest else f"Best of {trials}, expected"


def top(table: BudgetTable, references: Iterable[str]) -> Top | None:
    """The methods that lead `table`; None where nothing is ranked.

    Args:
        table: a family at one budget.
        references: of each of its tasks.
    """
    first = [row.method for row in table.rows if row.rank[0] == 1]
    return Top(first, sorted(set(references))) if first else None


def answer(view: SiteView, table: BudgetTable) -> Answer | None:
    """The answer of `table`; None where nothing is ranked."""
    tasks = _tasks(view.board, table.name)
    found = top(table, (task.reference for task in tasks))
    if found is None:
        return None
    first = next(row for row in table.rows if row.method == found.top[0])
    board = {"tuned": view.board, "defaults": view.defaults}.get(table.basis)
    gains = _gains(board, table.name, first.method) if board else []
    return Answer(
        top=found.top,
        references=found.references,
        name=table.name,
        k=table.k,
        score=span(NORMALISED, first.score, first.interval),
        n_methods=len(table.rows),
        n_tasks=len(tasks),
        gains=gains[:SHOWN],
        n_gains=len(gains),
    )


def _tasks(board: Board, name: str) -> list[TaskTable]:
    """The anchored tasks behind a summary."""
    summaries = [*board.families, *([board.overall] if board.overall else [])]
    own = {task for summary in summaries if summary.name == name for task in summary.tasks}
    return [table for table in board.tasks if table.task in own]


def _gains(board: Board, name: str, method: str) -> list[Gain]:
    found = []
    for task in _tasks(board, name):
        row = _row(task, method)
        if row is None or row.versus_reference is None:
            continue
        versus, form = row.versus_reference, Format(task.unit, task.margin)
        unit = "points" if task.unit == "share" else task.unit
        text = span(form, versus.difference, versus.interval, "+") + f" {unit}"
        found.append(Gain(task.task, task.title, task.reference, text, versus.n, versus.verdict))
    return found


def _row(task: TaskTable, method: str) -> Row | None:
    return next((row for row in task.rows if row.method == method), None)


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


def stale_note(tables: Iterable[TaskTable]) -> str:
    """How many results are not compared because code has changed; "" if there are none."""
    rows = [row for table in tables for row in table.rows]
    n = sum(row.state == "stale" for row in rows)
    if not n:
        return ""
    some = f"All {n:,} results" if n == len(rows) else f"{n:,} of {len(rows):,} results"
    return (
        f"{some} are stale: the code of their task or method has changed since they were made. "
        "They are still shown on the pages of tasks and methods, but they are not ranked and "
        "support no claim until they are repeated."
    )
