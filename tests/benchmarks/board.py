"""What the statistics of a board cost: 100 methods on 25 lite tasks of 5 families, 96 runs each.

    python tests/benchmarks/board.py [--methods 100] [--tasks 25]

The scores are made up and not timed; no record is read. Prints CPU seconds of each part: the
tables, all pairs and the tuning budgets of the tasks, and the summaries and tuning budgets of the
families. With two processes a board takes about half of their sum.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import TypeVar

import numpy as np
from assay.cards import FAMILIES, TaskCard
from assay.ruleset import RULESET
from assay_leaderboard.boards import board, budget_ranking
from assay_leaderboard.boards.task_budgets import TaskBudgets
from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.evidence.cells import CellEvidence
from assay_leaderboard.evidence.runs import Catalogue

Result = TypeVar("Result")
K, R = RULESET.k("lite"), RULESET.r("lite")


def card(place: int, family: str) -> TaskCard:
    return TaskCard.model_validate(
        {
            "slug": f"task{place:02d}",
            "version": 1,
            "title": f"Task {place}",
            "summary": "Made up.",
            "family": family,
            "tier": "lite",
            "dataset": {"name": "none", "source": "none", "licence": "none"},
            "model": {"name": "mlp"},
            "metric": {"name": "accuracy", "direction": "maximize", "chance": 0.1, "margin": 0.005},
            "anchor": {"value": 0.9, "n": 12, "standard_error": 0.003},
            "budget": {"batches": 10, "batch_size": 2, "seconds": 10},
            "reference": "m000",
        }
    )


def cell(generator: np.random.Generator, method: int, skill: float) -> CellEvidence:
    """A method whose points are at most as good as `skill`, of a test set of 1,000 examples."""
    true = skill - 0.02 * generator.exponential(size=(R, K))
    val, test = (np.round(true + generator.normal(0, 0.01, (R, K)), 3) for _ in range(2))
    return CellEvidence(
        method=f"m{method:03d}",
        state="ranked",
        k=K,
        planned=R,
        sign=1.0,
        val=val,
        test=test,
        statuses=[["completed"] * K] * R,
        runs=[[f"{method}-{r}-{k}" for k in range(K)] for r in range(R)],
    )


def made_up(n_methods: int, n_tasks: int) -> list[TaskComparisons]:
    """Tasks on which the methods are about as good relative to each other."""
    generator = np.random.default_rng(0)
    skills = generator.normal(0.85, 0.03, n_methods)
    work = []
    for place, family in enumerate(islice(cycle(FAMILIES), n_tasks)):
        own = skills + generator.normal(0, 0.02, n_methods)
        cells = [cell(generator, method, skill) for method, skill in enumerate(own)]
        work.append(TaskComparisons(card(place, family), cells, RULESET))
    return work


def timed(name: str, part: Callable[[], Result]) -> tuple[float, Result]:
    start = time.process_time()
    result = part()
    seconds = time.process_time() - start
    print(f"{name:<36}{seconds:7.2f} s", flush=True)
    return seconds, result


def costs(work: Sequence[TaskComparisons]) -> list[float]:
    catalogue = Catalogue({}, {})
    groups = [*board.groups(work, lambda task: task.card).items()]
    parts: list[tuple[str, Callable[[], object]]] = [
        ("tables of the tasks", lambda: [board.table(task) for task in work]),
        ("all pairs of the tasks", lambda: [task.pairs for task in work]),
        ("tuning budgets of the tasks", lambda: [TaskBudgets.of(task) for task in work]),
        ("summaries of the families", lambda: board.summaries(work, catalogue)),
        ("tuning budgets of the families", lambda: budget_ranking.budget_tables(groups, catalogue)),
    ]
    return [timed(name, part)[0] for name, part in parts]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--methods", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=25)
    arguments = parser.parse_args()
    print(f"{'together':<36}{sum(costs(made_up(arguments.methods, arguments.tasks))):7.2f} s")


if __name__ == "__main__":
    main()
