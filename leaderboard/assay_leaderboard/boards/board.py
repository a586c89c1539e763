"""Evidence to a board: one table per task, one summary per family, one overall.

A board depends on the records and the cards alone. The order of records does not matter, and
random numbers are seeded by the ruleset and the names of tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar, get_args

from assay.cards import FAMILIES, TaskCard
from assay.ruleset import Ruleset, Tier

from assay_leaderboard.boards.family_ranking import Field, summarise
from assay_leaderboard.boards.task_comparisons import (
    TaskComparisons,
    common_budget,
    mean_intervals,
)
from assay_leaderboard.evidence.cells import CellEvidence, cells, run_command
from assay_leaderboard.evidence.runs import Catalogue, Evidence, Rules
from assay_leaderboard.schema.board import (
    Anchor,
    Board,
    FamilySummary,
    Former,
    Row,
    RunCounts,
    Sample,
    Seeds,
    TaskTable,
    Withdrawn,
    not_ranking,
)

Item = TypeVar("Item")
OVERALL = "overall"
"""The summary of all families of a tier; at other tiers than lite, followed by the tier."""


def build(
    evidence: Evidence,
    catalogue: Catalogue,
    tasks: Sequence[str],
    ruleset: Ruleset,
    budget: int | None = None,
) -> Board:
    """The board of `tasks` in the given order; tasks without records are left out.

    Args:
        evidence: the runs.
        catalogue: cards and code hashes of the checkout.
        tasks: slugs of the catalogue.
        ruleset: the current one.
        budget: points k that each repetition's score is selected from; None: all K.
    """
    problems = list(evidence.problems)
    work: list[TaskComparisons] = []
    tables: list[TaskTable] = []
    for slug in tasks:
        card = catalogue.tasks[slug][0]
        found, wrong = cells(card, evidence, catalogue, ruleset)
        problems += wrong
        gone = past(card, evidence, catalogue, ruleset)
        before = former(card, evidence)
        if found or gone or before:
            work.append(TaskComparisons(card, found, ruleset, budget))
            tables.append(table(work[-1], gone, before, evidence.rules.revealed))
    return assembled(tables, summaries(work, catalogue), problems, ruleset, budget, evidence.rules)


def summaries(work: Sequence[TaskComparisons], catalogue: Catalogue) -> list[FamilySummary]:
    """The summary of every family of every tier, and of all families of a tier."""
    fields: dict[Tier, Field] = {}
    found = []
    for name, members in groups(work, lambda task: task.card).items():
        tier = members[0].card.tier
        if tier not in fields:
            own = [task for task in work if task.card.tier == tier]
            fields[tier] = Field(own, catalogue, own[0].ruleset)
        found.append(summarise(name, members, fields[tier]))
    return found


def groups(work: Sequence[Item], card: Callable[[Item], TaskCard]) -> dict[str, list[Item]]:
    """The groups of tasks that are summarised, by name.

    Each family of each tier is a group, and so are all tasks of a tier with several families.
    Tiers are never mixed: they have different budgets, and not every method is run on all.
    Groups of the lite tier are called by the family; others have "_" and the tier's name behind.
    Deterministic tasks are in no group: they are for claims alone.
    """
    found: dict[str, list[Item]] = {}
    for tier in get_args(Tier):
        end = "" if tier == "lite" else f"_{tier}"
        own = [item for item in work if card(item).tier == tier and not card(item).deterministic]
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
    budget: int | None,
    rules: Rules,
) -> Board:
    """A board from its tables and summaries, in the given order."""
    return Board(
        view=rules.view,
        ruleset=ruleset.version,
        budget=budget,
        confidence=ruleset.confidence,
        false_discovery_rate=ruleset.false_discovery_rate,
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
        if standing.state == "current":
            continue
        own = replace(bundle.evidence, epoch=standing.epoch)
        for cell in cells(card, own, catalogue, ruleset)[0]:
            values = cell.values()
            found.append(
                Withdrawn(
                    method=cell.method,
                    state=standing.state,
                    since=standing.since,
                    reason=standing.reason,
                    bundle=standing.file,
                    n=len(values),
                    mean=float(values.mean()) if len(values) else None,
                )
            )
    return sorted(found, key=lambda item: (item.since, item.bundle))


def former(card: TaskCard, evidence: Evidence) -> list[Former]:
    """The results of earlier rulesets on a task, best first; of a method the one read first."""
    sign = 1.0 if card.metric.direction == "maximize" else -1.0
    found: dict[tuple[str, int], Former] = {}
    for item in evidence.former:
        if item.task == card.slug:
            mean = item.mean(card.metric.chance)
            shown = Former(method=item.method, ruleset=item.ruleset, n=item.n, mean=mean)
            found.setdefault((item.method, item.ruleset), shown)
    return sorted(
        found.values(),
        key=lambda item: (item.mean is None, -sign * (item.mean or 0.0), item.method),
    )


def table(
    task: TaskComparisons,
    withdrawn: Sequence[Withdrawn] = (),
    former: Sequence[Former] = (),
    revealed: Mapping[str, str] = MappingProxyType({}),
) -> TaskTable:
    """The table of one task: ranked rows from best to worst, then the others by slug.

    Args:
        task: the task, at the budget of the table.
        withdrawn: published results that no longer count.
        former: results of earlier rulesets.
        revealed: when each epoch was revealed.
    """
    card, rank_of = task.card, task.ranks()
    order = task.in_order
    tuned, defaults = samples(task, order, task.budget), samples(task, order, 1)
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
        anchor=Anchor(**card.anchor.model_dump()) if card.anchor else None,
        seeds=Seeds.of(task.epoch, revealed),
        pairs=task.family,
        rows=[
            _row(task, cell, tuned[cell.method], defaults[cell.method], rank_of.get(cell.method))
            for cell in order
        ],
        former=list(former),
        withdrawn=list(withdrawn),
        notes=_notes(task),
    )


def _row(
    task: TaskComparisons,
    cell: CellEvidence,
    tuned: Sample,
    defaults: Sample,
    rank: tuple[int, int] | None,
) -> Row:
    reference = task.card.reference
    score = None
    if cell.state == "ranked" and task.gap is not None:
        score = float(task.normalised(cell.values(task.budget)).mean())
    return Row(
        method=cell.method,
        state=cell.state,
        note=_note(task, cell),
        is_reference=cell.method == reference,
        local=cell.local,
        trust=cell.tier,
        isolation=cell.level,
        epoch=cell.epoch,
        replay=cell.replay,
        tries=cell.tries,
        refused=cell.refused,
        k=min(task.budget or cell.k, cell.k),
        runs=_run_counts(cell),
        tuned=tuned,
        defaults=defaults,
        score=score,
        versus_reference=task.comparison(cell.method, reference),
        rank=rank,
        flags=list(cell.flags),
    )


def _run_counts(cell: CellEvidence) -> RunCounts:
    count = cell.status_counts
    failed = [
        not any(status == "completed" for status in row[: cell.k])
        for row, counted in zip(cell.statuses, cell.counted.tolist(), strict=True)
        if counted
    ]
    return RunCounts(
        completed=count["completed"],
        diverged=count["diverged"],
        out_of_budget=count["out_of_budget"],
        failed=count["failed"],
        missing=_missing(cell),
        failed_repetitions=sum(failed),
    )


def _missing(cell: CellEvidence) -> int:
    """Runs without a record, of those that the ruleset plans."""
    return int((~cell.recorded[: cell.planned]).sum())


def _note(task: TaskComparisons, cell: CellEvidence) -> str:
    """What is to be said of a row beside its state."""
    planned = cell.planned * cell.planned_k
    said, why = [], ""
    if cell.stale:
        said.append(cell.stale)
    elif cell.state == "incomplete":
        said.append(f"{_missing(cell)} of {planned} runs have no record yet")
    elif why := not_ranking(cell.state):
        said.append(why)
    if cell.preliminary or (why and (cell.n < cell.planned or cell.k < cell.planned_k)):
        said.append(f"{cell.n} of {cell.planned} repetitions, {cell.k} of {cell.planned_k} points")
    if cell.preliminary:
        reference = task.reference
        if reference and reference is not cell:
            budget = common_budget(task.budget, (cell, reference))
            if budget is not None and budget < reference.k:
                said.append(f"compared with the reference at {budget} points")
    said += [text for text in (cell.left_out, cell.mixed) if text]
    if cell.unknown:
        said.append(f"made with {cell.unknown}: not installed here, so a change would not be seen")
    recorded = int(cell.recorded.sum())
    if 0 < cell.n_local < recorded:
        said.append(f"{cell.n_local} of {recorded} runs are local")
    return "; ".join(said)


def _notes(task: TaskComparisons) -> list[str]:
    card, found = task.card, []
    if card.deterministic:
        return ["Nothing varies between runs here: for claims alone, without ranks and verdicts."]
    if task.reference is None and task.cells:
        command = run_command(card.reference, card.slug)
        found.append(
            f"The reference {card.reference} has no current result here, so nothing is compared "
            f"with it; make one with: {command}"
        )
    if card.tier == "paper":
        found.append("Published settings are shown with intervals, without ranks and verdicts.")
    if task.gap is None:
        found.append("This version of the task has no anchor yet: it counts in no summary.")
    return found


def samples(
    task: TaskComparisons, found: Sequence[CellEvidence], budget: int | None
) -> dict[str, Sample]:
    """The mean of each cell at a budget, with its interval, by method."""
    values = [cell.values(budget) for cell in found]
    intervals = mean_intervals(values, task.ruleset.confidence)
    return {
        cell.method: Sample(
            n=len(own),
            planned=cell.planned,
            mean=float(own.mean()) if len(own) else None,
            interval=interval,
        )
        for cell, own, interval in zip(found, values, intervals, strict=True)
    }


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
