"""What the statistics of a board cost: 100 methods x 25 tasks x 96 runs, at every tuning budget.

    python tests/benchmarks/board.py [--methods 100] [--tasks 25] [--jobs 2]

Makes up cells (not timed), then computes what the site computes: the table of each task and its
numbers at every budget, with all pairs; the rankings of families and overall at every budget.
Tasks are shared out over the processes, and so are families, as in `assay site build`. Prints wall
and CPU seconds of both stages.
"""

import argparse
import multiprocessing
import os
import resource
import time

import numpy as np
from assay.cards import FAMILIES, TaskCard
from assay.ruleset import RULESET
from assay_leaderboard.boards.board import groups, summaries, table
from assay_leaderboard.boards.budget_ranking import budget_tables
from assay_leaderboard.boards.task_budgets import TaskBudgets
from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.evidence.cells import CellEvidence

R, K = RULESET.r("lite"), RULESET.k("lite")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--methods", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=25)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    work = [task(number, options.methods) for number in range(options.tasks)]
    print(f"{options.methods} methods, {options.tasks} tasks, {R * K} runs a cell")
    with multiprocessing.Pool(options.jobs) as pool:
        pool.map(len, [[]] * options.jobs)  # processes have started
        measured("tasks", lambda: pool.map(of_task, work, chunksize=1))
        tier = [*groups(work, lambda one: one.card).items()]
        measured("families", lambda: pool.map(of_families, [tier]))


def measured(label, run):
    before, started = cpu_seconds(), time.perf_counter()
    run()
    wall = time.perf_counter() - started
    print(f"{label}: {wall:.1f} s wall, load {os.getloadavg()[0]:.1f}", flush=True)
    return before


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def of_task(task):
    table(task)
    TaskBudgets.of(task)
    return len(task.pairs)


def of_families(tier):
    tasks = {task.card.slug: task for _, members in tier for task in members}
    return len(budget_tables(tier)), len(summaries([*tasks.values()]))


def task(number, n_methods):
    """A task with complete cells of methods that differ in skill."""
    card = TaskCard(
        slug=f"t{number:02d}",
        version=1,
        title=f"Simulated task {number}",
        summary="Made up for a benchmark.",
        family=FAMILIES[number % len(FAMILIES)],
        tier="lite",
        dataset={"name": "none", "source": "none", "licence": "none"},
        model={"name": "mlp"},
        metric={"name": "accuracy", "direction": "maximize", "chance": 0.1, "margin": 0.005},
        anchor={"value": 0.7, "n": 12, "standard_error": 0.003},
        budget={"batches": 10, "batch_size": 2, "seconds": 10},
        reference="m000",
    )
    return TaskComparisons(card, [cell(number, m) for m in range(n_methods)], RULESET)


def cell(task, method):
    draw = np.random.default_rng([task, method])
    skill = 0.70 + 0.05 * np.random.default_rng(method).normal() + 0.02 * draw.normal()
    level = skill - 0.05 * draw.random((R, K)) + 0.005 * draw.normal(size=(R, 1))
    val, test = np.round(level + 0.01 * draw.normal(size=(2, R, K)), 4)
    return CellEvidence(
        method=f"m{method:03d}",
        state="ranked",
        k=K,
        planned=R,
        sign=1.0,
        val=val,
        test=test,
        statuses=[["completed"] * K] * R,
        runs=[[f"{task:04x}{method:04x}{r:04x}{k:04x}" for k in range(K)] for r in range(R)],
    )


if __name__ == "__main__":
    main()
