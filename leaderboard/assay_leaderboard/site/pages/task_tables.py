"""The tables of a task's page below its ranking: targets, costs, sensitivity, snapshots,
networks.

All are of the runs that the full tuning budget selects, or of all runs where they say so.
"""

from __future__ import annotations

from assay.records.solutions import QUANTITIES, Spread, three_digits
from markupsafe import Markup

from assay_leaderboard.format import Format, split_words
from assay_leaderboard.schema.task_details import Cost, Sensitivity, TargetReached
from assay_leaderboard.schema.translation import MethodRanges
from assay_leaderboard.site.html.links import PageLinks
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.text import NONE, duration, minus, number, size
from assay_leaderboard.site.pages.cells import EMPTY, ends_cell, method_cell, rate_cells
from assay_leaderboard.site.views import TaskView

_METHOD = Column("method", "Method", text=True)


def targets(view: TaskView, form: Format, links: PageLinks) -> Table | None:
    """How often and how soon each method reaches the targets of the task."""
    wanted = view.card.targets
    if not wanted or not any(detail.targets for detail in view.detail.details):
        return None
    columns = [_METHOD]
    for target in wanted:
        what = f"{target.name} {number(form, target.value)}"
        columns += [
            Column(f"{target.name}_share", "Reached", what),
            Column(f"{target.name}_passes", "Passes", f"expected to {what}", low=True),
        ]
    rows = []
    for detail in view.detail.details:
        found = {target.name: target for target in detail.targets}
        cells = [method_cell(links, detail.method)]
        for target in wanted:
            cells += _target_cells(found.get(target.name))
        rows.append(TableRow(cells))
    split = split_words(view.card.family).targets
    caption = f"Time to target, measured on {split}, at the full tuning budget"
    return Table("targets", caption, columns, rows)


def _target_cells(reached: TargetReached | None) -> list[TableCell]:
    if reached is None:
        return [EMPTY, EMPTY]
    low, high = 100 * reached.rate.low, 100 * reached.rate.high
    share = Markup(
        f'{reached.reached} of {reached.n} <span class="i">[{low:.0f}, {high:.0f}] %</span>'
    )
    passes = reached.passes
    return [
        TableCell(share, reached.reached / reached.n if reached.n else None),
        TableCell("never" if passes is None else f"{passes:,.0f}", passes),
    ]


def costs(view: TaskView, links: PageLinks) -> Table | None:
    """What a run spends."""
    columns = [
        _METHOD,
        Column("example_passes", "Example-passes", "what the budget counts"),
        Column("passes", "Passes", "forward-backward"),
        Column("examples", "Examples", "drawn"),
        Column("seconds", "Training", "on the machine that made the record", low=True),
        Column("ratio", "CPU time", "times the reference's, same machine", low=True),
        Column("memory", "Memory", "largest resident set", low=True),
        Column("state", "Optimizer state", low=True),
    ]
    rows = [
        TableRow([method_cell(links, detail.method), *_cost_cells(detail.cost)])
        for detail in view.detail.details
        if detail.cost
    ]
    caption = (
        "Cost of a selected run at the full tuning budget: medians over the repetitions. No CPU "
        f"time where {view.card.reference} was not run on the same kind of machine"
    )
    return Table("costs", caption, columns, rows) if rows else None


def _cost_cells(cost: Cost) -> list[TableCell]:
    return [
        TableCell(f"{cost.example_passes:,.0f}", cost.example_passes),
        TableCell(f"{cost.passes:,.0f}", cost.passes),
        TableCell(f"{cost.examples:,.0f}", cost.examples),
        TableCell(duration(cost.seconds), cost.seconds),
        TableCell(NONE if cost.ratio is None else f"{cost.ratio:.2f}", cost.ratio),
        TableCell(size(cost.peak_bytes), cost.peak_bytes),
        TableCell(size(cost.optimizer_state_bytes), cost.optimizer_state_bytes),
    ]


def sensitivity(view: TaskView, form: Format, links: PageLinks) -> Table | None:
    """How much the hyperparameters matter, from all runs."""
    split = split_words(view.card.family).validation
    unit = f"{form.unit}, on {split}".removeprefix(", ")
    columns = [
        _METHOD,
        Column("n", "Runs", "all repetitions and points"),
        Column("near", "Near the best", f"% of runs within the margin, on {split}"),
        Column("gap", "Selected minus defaults", unit),
        Column("rate", "Best learning rate", "median [quartiles], of the selected points"),
        Column("times", "Times", f"the best of {view.card.reference}"),
        Column("decades", "Good learning rates", "width in decades"),
        Column("diverged", "Diverged", "% of runs", low=True),
        Column("edge", "Selected near an end", "% of repetitions (by chance)", text=True),
    ]
    known = {row.method: row for row in view.ranges.methods} if view.ranges else {}
    rows = [
        TableRow(
            [
                method_cell(links, detail.method),
                *_sensitivity_cells(own, known.get(detail.method), form),
            ]
        )
        for detail in view.detail.details
        if (own := detail.sensitivity).n
    ]
    caption = f"How much tuning matters, from all runs, on {split}"
    return Table("sensitivity", caption, columns, rows) if rows else None


def _sensitivity_cells(
    found: Sensitivity, ranges: MethodRanges | None, form: Format
) -> list[TableCell]:
    decades = found.lr_decades
    return [
        TableCell(f"{found.n:,}", found.n),
        TableCell(f"{100 * found.near_best:.0f}", found.near_best),
        TableCell(minus(form.number(found.default_gap, "+")), found.default_gap),
        *rate_cells(ranges),
        TableCell(NONE if decades is None else f"{decades:.1f}", decades),
        TableCell(f"{100 * found.diverged:.0f}", found.diverged),
        ends_cell(found.ranges),
    ]


def selection(view: TaskView, form: Format, links: PageLinks) -> Table | None:
    """Test scores of the last, the selected and the best snapshot, side by side."""
    words = split_words(view.card.family)
    unit = f"{form.unit}; " if form.unit else ""
    columns = [
        _METHOD,
        Column("last", "Last", form.unit),
        Column("selected", f"Selected on {words.validation}", f"{unit}what ranks"),
        Column("oracle", f"Best on {words.test or words.validation}", f"{unit}never a result"),
        Column("gap", "Oracle's gap", "best minus selected"),
    ]
    sign = 1 if view.card.metric.direction == "maximize" else -1
    rows = []
    for detail in view.detail.details:
        chosen = detail.selection
        if chosen is None:
            continue
        gap = sign * (chosen.oracle - chosen.selected)
        values = (chosen.last, chosen.selected, chosen.oracle)
        cells = [TableCell(number(form, value), value) for value in values]
        cells.append(TableCell(minus(form.number(gap, "+")), gap))
        rows.append(TableRow([method_cell(links, detail.method), *cells]))
    caption = (
        f"Which snapshot is scored: mean {words.scored(view.card.metric.name)} of the selected "
        "runs at the full tuning budget"
    )
    return Table("selection", caption, columns, rows) if rows else None


def solutions(view: TaskView, links: PageLinks) -> Table | None:
    """What `assay diagnose` found: networks at a training loss that all methods reach."""
    found = view.solutions
    if found is None:
        return None
    columns, n = [_METHOD], len(found.repetitions)
    columns += [Column(name, what.title, what.explanation) for name, what in QUANTITIES.items()]
    rows = [
        TableRow(
            [
                method_cell(links, solution.method),
                *(_spread_cell(solution.measures.get(name), n) for name in QUANTITIES),
            ]
        )
        for solution in found.matched
    ]
    caption = (
        "Networks at a training loss that all of these methods reach: mean [lowest, highest] of "
        f"n={n} repetitions, or of those with a value where n stands beside it"
    )
    return Table("solutions", caption, columns, rows)


def _spread_cell(spread: Spread | None, n: int) -> TableCell:
    if spread is None:
        return EMPTY
    text = minus(spread.ends(n))
    ends = Markup(' <span class="i">{}</span>').format(text) if text else ""
    return TableCell(Markup("{}{}").format(minus(three_digits(spread.mean)), ends), spread.mean)
