"""Which pictures a page has, and from which values they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.cards import TaskCard
from markupsafe import Markup

from assay_leaderboard.format import budget_text, split_words
from assay_leaderboard.schema.board import FamilySummary, Row, TaskTable, not_ranking
from assay_leaderboard.schema.task_details import Detail
from assay_leaderboard.site import pictures
from assay_leaderboard.site.pictures import Estimate, Measure, SpentPoint
from assay_leaderboard.site.views import CellView, TaskView

CONFIDENCE = 0.95
UNRANKED = "○"
"""Stands before the name of a method that is shown and does not rank."""
SHORT = 30
"""Most methods in the intervals at a budget that is not the full one."""


def name(row: Row) -> str:
    """The name of a row in a picture; marked where it is shown and does not rank."""
    return f"{UNRANKED} {row.method}" if not_ranking(row.state) else row.method


def of_task(view: TaskView, confidence: float = CONFIDENCE) -> Sequence[Markup]:
    """The pictures of a task at the full tuning budget, the best methods first."""
    measure = Measure.of(view.table, confidence)
    rows = [row for row in view.table.rows if row.rank or not_ranking(row.state)]
    found = {detail.method: detail for detail in view.detail.details}
    details = {name(row): found[row.method] for row in rows if row.method in found}
    drawn = [
        pictures.budget_curves(
            "picture-budget", {m: d.budget for m, d in details.items()}, measure
        ),
        pictures.win_matrix(
            "picture-wins",
            [row.method for row in rows if row.rank],
            view.detail.pairs,
            measure,
            view.table.pairs,
        ),
        pictures.learning_curves(
            "picture-curves", {m: d.curve for m, d in details.items()}, measure
        ),
        pictures.sensitivity_strip(
            "picture-strip", {m: d.sensitivity for m, d in details.items()}, measure
        ),
        _cost(rows, details, measure),
        *_targets(view, details, measure),
    ]
    if view.landscape:
        paths = {method: detail.paths for method, detail in details.items()}
        drawn.insert(
            0,
            pictures.trajectories(
                "picture-paths", view.landscape.axes, view.landscape.values, paths, view.card.title
            ),
        )
    return drawn


def forest(
    key: str, table: TaskTable, estimates: Sequence[Estimate], k: int | None = None
) -> Markup:
    """Means with intervals at the full tuning budget, or expected means at another, `k`."""
    statistic = "Mean over the repetitions"
    if k is not None:
        statistic = f"Expected mean over the repetitions, {budget_text(k)},"
        estimates = estimates[:SHORT]
    return pictures.intervals(
        key, estimates, Measure.of(table, CONFIDENCE), statistic, table.reference
    )


def of_rows(rows: Sequence[Row]) -> list[Estimate]:
    """The means of the ranked rows, then of those that do not rank, in the order given."""
    return [
        Estimate(name(row), row.tuned.mean, row.tuned.interval, row.tuned.n, row.rank)
        for row in rows
        if (row.rank or not_ranking(row.state)) and row.tuned.mean is not None
    ]


def _cost(rows: Sequence[Row], details: dict[str, Detail], measure: Measure) -> Markup:
    """In CPU time as a multiple of the reference's where all are known to be, else in passes.

    Not in example-passes: they are the budget, and alike for all.
    """
    costs = {method: detail.cost for method, detail in details.items()}
    known = {method: cost for method, cost in costs.items() if cost}
    relative = all(cost.ratio is not None for cost in known.values())
    spent = [
        SpentPoint(
            name(row),
            cost.ratio if relative and cost.ratio is not None else cost.passes,
            row.tuned.mean,
            row.tuned.interval,
            row.tuned.n,
        )
        for row in rows
        if (cost := known.get(name(row))) and row.tuned.mean is not None
    ]
    title = "CPU time, times the reference's" if relative else "passes"
    return pictures.cost_against_score("picture-cost", spent, measure, title)


def _targets(view: TaskView, details: dict[str, Detail], measure: Measure) -> list[Markup]:
    """How soon targets are reached: each one, then all together."""
    drawn = []
    for target in view.card.targets:
        own = {
            method: found
            for method, detail in details.items()
            for found in detail.targets
            if found.name == target.name
        }
        if own:
            value = f"{measure.format.number(target.value)} {measure.format.unit}".strip()
            drawn.append(
                pictures.survival(
                    f"picture-{target.name}",
                    {method: found.survival for method, found in own.items()},
                    f"{target.name} ({value})",
                    max(found.n for found in own.values()),
                    measure.targets,
                )
            )
    if drawn:
        n = max(sum(found.n for found in detail.targets) for detail in details.values())
        names = {row.method: name(row) for row in view.table.rows}
        shares = {names[method]: steps for method, steps in view.detail.ecdf.items()}
        drawn.append(pictures.reached("picture-reached", shares, n, measure.targets))
    return drawn


def of_cell(view: CellView, confidence: float = CONFIDENCE) -> Mapping[str, Markup]:
    """The pictures of a method on a task by name: learning curve, tuning budget, learning rate."""
    method = view.row.method
    measure = _measure(view.card, confidence)
    detail, tuning = view.detail, view.detail.sensitivity
    drawn = {}
    if detail.curve:
        drawn["learning-curve"] = pictures.learning_curves(
            "picture-curve", {method: detail.curve}, measure
        )
    if detail.budget:
        drawn["tuning-budget"] = pictures.budget_curves(
            "picture-budget", {method: detail.budget}, measure
        )
    if tuning.lr_decades is not None:
        drawn["learning-rate"] = pictures.learning_rate("picture-rate", tuning, measure, method)
    return drawn


def _measure(card: TaskCard, confidence: float) -> Measure:
    metric = card.metric
    name = metric.name.replace("_", " ")
    words = split_words(card.family)
    return Measure(name, metric.unit, metric.direction, metric.margin, confidence, *words)


def of_summary(summary: FamilySummary) -> Sequence[Markup]:
    """The pictures of a family at the full tuning budget."""
    rows = [row for row in summary.rows if row.rank and row.score is not None]
    if not rows:
        return ()
    rows.sort(key=lambda row: row.rank or (0, 0))  # rules between tie groups, as in the table
    margin = summary.margin or 0.01
    measure = Measure("normalised score", "", "maximize", margin, CONFIDENCE, test="")
    estimates = [
        Estimate(row.method, row.score, row.interval, row.n, row.rank)
        for row in rows
        if row.score is not None
    ]
    statistic = "Interquartile mean over tasks and repetitions"
    if len(summary.families) > 1:
        statistic = "Mean of the family scores"
    drawn = [pictures.intervals("picture-intervals", estimates, measure, statistic)]
    if summary.profile and len(summary.tasks) > 1:  # with one task it repeats the table
        drawn.append(
            pictures.performance_profile("picture-profile", summary.profile, len(summary.tasks))
        )
    if summary.critical:
        drawn.append(
            pictures.critical_difference("picture-critical", summary.critical, summary.name)
        )
    return drawn
