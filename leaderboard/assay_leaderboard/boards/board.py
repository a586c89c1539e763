"""Evidence to a board: one table per task, one summary per family, one overall.

A board depends on the records and the cards alone. The order of records does not matter, and
random numbers are seeded by the ruleset and the names of tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, get_args

import numpy as np
from assay.cards import FAMILIES, TaskCard
from assay.ruleset import Ruleset, Tier

from assay_leaderboard.boards.family_ranking import summarise
from assay_leaderboard.boards.task_comparisons import TaskComparisons, ranks, versus_reference
from assay_leaderboard.evidence.cells import (
    Catalogue,
    CellEvidence,
    Evidence,
    Repetitions,
    cells,
    run_command,
)
from assay_leaderboard.schema.board import (
    Basis,
    Board,
    FamilySummary,
    Row,
    Sample,
    State,
    TaskTable,
    Withdrawn,
)
from assay_leaderboard.schema.values import Comparison, Interval
from assay_leaderboard.statistics import paired_tests

Item = TypeVar("Item")
Samples = tuple[Sample, Sample]
"""Of the tuned point and of the defaults of a method."""
OVERALL = "overall"
"""The summary of all families."""


def build(
    evidence: Evidence,
    catalogue: Catalogue,
    tasks: Sequence[str],
    ruleset: Ruleset,
    basis: Basis = "tuned",
) -> Board:
    """The board of `tasks` in the given order; tasks without records are left out."""
    problems = list(evidence.problems)
    work: list[TaskComparisons] = []
    withdrawn: dict[str, list[Withdrawn]] = {}
    for slug in tasks:
        card = catalogue.tasks[slug][0]
        found, wrong = cells(card, evidence, catalogue, ruleset)
        problems += wrong
        withdrawn[slug] = past(card, evidence, catalogue, ruleset)
        if found or withdrawn[slug]:
            work.append(TaskComparisons(card, found, basis, ruleset))
    tables = [table(task, withdrawn[task.card.slug]) for task in work]
    summaries = [
        summarise(name, members) for name, members in groups(work, lambda t: t.card).items()
    ]
    return assembled(tables, summaries, problems, ruleset, basis)


def groups(work: Sequence[Item], card: Callable[[Item], TaskCard]) -> dict[str, list[Item]]:
    """The groups of tasks that are summarised, by name.

    Each family of each tier is a group, and so are all tasks of a tier with several families.
    Tiers are never mixed: they have different tuning points, and not every method is run on all.
    Groups of the lite tier are called by the family; others have "_" and the tier's name behind.
    """
    found: dict[str, list[Item]] = {}
    for tier in get_args(Tier):
        end = "" if tier == "lite" else f"_{tier}"
        own = [item for item in work if card(item).tier == tier]
        families: dict[str, list[Item]] = {}
        for item in sorted(own, key=lambda item: FAMILIES.index(card(item).family)):
            families.setdefault(card(item).family + end, []).append(item)
        found |= {**families, OVERALL + end: own} if len(families) > 1 else families
    return found


def assembled(
    tables: Sequence[TaskTable],
    summaries: Sequence[FamilySummary],
    problems: Sequence[str],
    ruleset: Ruleset,
    basis: Basis,
) -> Board:
    """A board from its tables and summaries, in the given order."""
    return Board(
        ruleset=ruleset.version,
        basis=basis,
        confidence=ruleset.confidence,
        alpha=ruleset.alpha,
        bootstrap_draws=ruleset.bootstrap_draws,
        tasks=list(tables),
        families=[summary for summary in summaries if summary.name != OVERALL],
        overall=next((summary for summary in summaries if summary.name == OVERALL), None),
        problems=list(problems),
    )


def past(
    card: TaskCard, evidence: Evidence, catalogue: Catalogue, ruleset: Ruleset
) -> list[Withdrawn]:
    """The published results on a task that no longer count, oldest first."""
    found = []
    for bundle in evidence.past:
        standing = bundle.standing
        for cell in cells(card, bundle.evidence, catalogue, ruleset)[0]:
            values = cell.tuned.values
            found.append(
                Withdrawn(
                    method=cell.method,
                    state=standing.state,
                    since=standing.since,
                    reason=standing.reason,
                    bundle=standing.file,
                    n=len(values),
                    mean=float(np.mean(values)) if values else None,
                )
            )
    return sorted(found, key=lambda item: (item.since, item.bundle))


def table(
    task: TaskComparisons, withdrawn: list[Withdrawn], both: Mapping[str, Samples] | None = None
) -> TaskTable:
    """The table of one task: ranked rows from best to worst, then the others.

    Args:
        task: the task.
        withdrawn: published results that no longer count.
        both: `samples` of the task, if they were computed for its other table.
    """
    card = task.card
    both = samples(task) if both is None else both
    comparisons, rank_of = versus_reference(task), ranks(task)
    ranked = {cell.method for cell in task.ranked}
    others = [cell for cell in task.cells if cell.method not in ranked]
    rows = [
        _row(
            task,
            cell,
            both[cell.method],
            comparisons.get(cell.method),
            rank_of.get(cell.method),
        )
        for cell in (*task.ranked, *sorted(others, key=lambda cell: cell.method))
    ]
    return TaskTable(
        task=card.slug,
        version=card.version,
        title=card.title,
        family=card.family,
        tier=card.tier,
        metric=card.metric.name,
        direction=card.metric.direction,
        unit=card.metric.unit,
        chance=card.metric.chance,
        margin=card.metric.margin,
        deterministic=card.deterministic,
        reference=card.reference,
        anchored=task.anchors is not None,
        rows=rows,
        withdrawn=withdrawn,
        notes=_notes(task),
    )


def _row(
    task: TaskComparisons,
    cell: CellEvidence,
    both: Samples,
    versus: Comparison | None,
    rank: tuple[int, int] | None,
) -> Row:
    tuned, defaults = both
    score = None
    if task.anchors and rank:
        score = float(task.anchors.normalised(task.sample(cell).values).mean())
    return Row(
        method=cell.method,
        state=_state(task, cell),
        note=_note(task, cell),
        is_reference=cell.method == task.card.reference,
        local=cell.local,
        trust=cell.tier,
        isolation=task.sample(cell).level,
        preset=cell.study.preset,
        k=cell.study.n_trials,
        study=cell.study.id,
        tuned=tuned,
        defaults=defaults if cell.defaults.planned else None,
        score=score,
        versus_reference=versus,
        rank=rank,
        flags=list(cell.flags),
    )


def _state(task: TaskComparisons, cell: CellEvidence) -> State:
    if cell.stale:
        return "stale"
    return "ranked" if task.sample(cell).complete else "incomplete"


def _note(task: TaskComparisons, cell: CellEvidence) -> str:
    repetitions = task.sample(cell)
    if cell.stale or repetitions.complete:
        return cell.stale
    if not repetitions.planned:
        return "the defaults were not repeated (--quick leaves them out)"
    return f"{repetitions.missing} of {repetitions.planned} repetitions have no record yet"


def _notes(task: TaskComparisons) -> list[str]:
    reference = task.card.reference
    if task.reference is None:
        command = run_command(reference, task.card.slug)
        return [
            f"The reference {reference} has no complete current result here, so there are no "
            f"verdicts; make one with: {command}"
        ]
    if task.anchors is None:
        return [f"The reference {reference} is not better than chance, so there are no scores."]
    return []


def samples(task: TaskComparisons) -> dict[str, Samples]:
    """Statistics of both points of each method; the same for every basis."""
    tuned = _samples(task, [cell.tuned for cell in task.cells])
    defaults = _samples(task, [cell.defaults for cell in task.cells])
    methods = [cell.method for cell in task.cells]
    return dict(zip(methods, zip(tuned, defaults, strict=True), strict=True))


def _samples(task: TaskComparisons, found: Sequence[Repetitions]) -> list[Sample]:
    intervals = _intervals(task, [repetitions.values for repetitions in found])
    return [_sample(*each) for each in zip(found, intervals, strict=True)]


def _intervals(task: TaskComparisons, found: Sequence[Sequence[float]]) -> list[Interval | None]:
    """BCa intervals of the means; those of equally many repetitions are computed together."""
    intervals: list[Interval | None] = [None] * len(found)
    for n in {len(values) for values in found} - {0}:
        members = [i for i, values in enumerate(found) if len(values) == n]
        rows = np.array([found[i] for i in members], dtype=np.float64)
        alike = paired_tests.bca_intervals(rows, task.ruleset.confidence)
        for i, interval in zip(members, alike, strict=True):
            intervals[i] = interval
    return intervals


def _sample(repetitions: Repetitions, interval: Interval | None) -> Sample:
    values, count = repetitions.values, repetitions.statuses.get
    return Sample(
        n=len(values),
        planned=repetitions.planned,
        completed=count("completed", 0),
        diverged=count("diverged", 0),
        out_of_budget=count("out_of_budget", 0),
        failed=count("failed", 0),
        missing=repetitions.missing,
        mean=float(np.mean(values)) if values else None,
        interval=interval,
    )


def only(board: Board, methods: Sequence[str]) -> Board:
    """The same board with only the rows of `methods` and of the references."""
    tasks = [
        table.model_copy(
            update={
                "rows": [row for row in table.rows if row.is_reference or row.method in methods]
            }
        )
        for table in board.tasks
    ]
    shown = {*methods, *(table.reference for table in board.tasks)}

    def cut(summary: FamilySummary) -> FamilySummary:
        rows = [row for row in summary.rows if row.method in shown]
        return summary.model_copy(update={"rows": rows})

    overall = cut(board.overall) if board.overall else None
    families = [cut(summary) for summary in board.families]
    return board.model_copy(update={"tasks": tasks, "families": families, "overall": overall})
