"""The page of a task: its table, how each method got there, and what was asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.cards import SubmissionCard
from markupsafe import Markup, escape

from assay_leaderboard.evidence.cells import run_command
from assay_leaderboard.format import NORMALISED, Format
from assay_leaderboard.schema.board import Row, Sample, TaskTable
from assay_leaderboard.schema.task_details import Detail
from assay_leaderboard.site.html.links import Links, PageLinks
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import page
from assay_leaderboard.site.html.text import (
    NONE,
    duration,
    link,
    minus,
    number,
    p_text,
    rank_text,
    runs_text,
    size,
    span,
    verdict,
    verdict_word,
)
from assay_leaderboard.site.pages import figures
from assay_leaderboard.site.views import TaskView

EMPTY = TableCell(NONE)


def task_pages(view: TaskView, links: Links) -> dict[str, str]:
    """/task/<slug>/index.html."""
    path = f"task/{view.card.slug}"
    place, form = links.at(path), Format(view.card.metric.unit, view.card.metric.margin)
    details = {detail.method: detail for detail in view.detail.details}
    return page(
        links,
        path,
        "task.html",
        card=view.card,
        form=form,
        direction=direction(view.tuned),
        table=view.tuned,
        answer=_answer(view.tuned, form),
        tuned=results(view.tuned, view.methods, details, place),
        defaults=_defaults(view, place),
        targets=_targets(view, form, place),
        costs=_costs(view, place),
        selection=_selection(view, form, place),
        pictures=figures.of_task(view),
        evaluations=view.card.evaluation.batches(view.card.budget.batches),
    )


def direction(table: TaskTable) -> str:
    """How a score of the task is read."""
    return "higher is better" if table.direction == "maximize" else "lower is better"


def method_cell(place: PageLinks, slug: str, row: Row | None = None) -> TableCell:
    """The header of a row: the method, what marks it beside."""
    name = link(place.method(slug), slug)
    return TableCell(Markup(f"{name}{_marks(row)}") if row else name)


def _marks(row: Row) -> str:
    words = ["reference"] if row.is_reference else []
    words += ["local"] if row.local or row.trust == "T0" else []
    words += ["preliminary"] if row.preset == "quick" else []
    words += [row.state] if row.state != "ranked" else []
    words += ["flagged"] if row.flags else []
    return "".join([f' <span class="tag {word}">{word}</span>' for word in words])


def facets(card: SubmissionCard | None) -> dict[str, str]:
    """What a method's card lets its rows be filtered by."""
    if card is None:
        return {"track": "unknown", "access": "unknown"}
    return {"track": card.track, "access": " ".join(card.access) or "none"}


def linked(address: str, content: str | Markup) -> Markup:
    """A number that leads to the runs behind it."""
    return Markup(f'<a class="q" href="{escape(address)}">{escape(content)}</a>')


def sample_cell(
    place: PageLinks, task: str, method: str, sample: Sample | None, form: Format
) -> TableCell:
    """Mean, interval and n, leading to the runs."""
    if sample is None or sample.mean is None:
        return EMPTY
    text = span(form, sample.mean, sample.interval)
    mean = linked(place.cell(task, method), text)
    return TableCell(Markup(f'{mean} <span class="of">n={sample.n}</span>'), sample.mean)


def command_cell(method: str, task: str) -> TableCell:
    """What makes the records of a row."""
    return TableCell(Markup(f"<code>{escape(run_command(method, task))}</code>"))


def results(
    table: TaskTable,
    cards: Mapping[str, SubmissionCard],
    details: Mapping[str, Detail],
    place: PageLinks,
) -> Table:
    """The table of the tuned repetitions."""
    form = Format(table.unit, table.margin)
    unit = f"{form.unit}, {direction(table)}"
    columns = [
        Column("method", "Method", text=True),
        Column("rank", "Rank", "interval", low=True),
        Column("tuned", f"Test {said_metric(table)}", unit),
        Column("gain", f"Gain on {table.reference}", f"{form.unit}, positive is better"),
        Column("verdict", "Verdict", f"against {table.reference}", text=True),
        Column("p", "p", "sign-flip, Holm", low=True),
        Column("superiority", "Wins", "share of pairs"),
        Column("defaults", "Defaults", unit),
        Column("score", "Score", "0 chance, 1 reference"),
        Column("time", "CPU time", "times the reference's", low=True),
        Column("runs", "Runs", "completed", text=True),
        Column("trust", "Trust", "and isolation", text=True),
        Column("command", "Command", text=True),
    ]
    lines: list[TableRow] = []
    last = 0
    for row in table.rows:
        first = row.rank[0] if row.rank else 0
        css = "" if row.state == "ranked" else "dim"
        css += " group" if lines and first != last else ""
        last = first
        lines.append(
            TableRow(
                _result(table, row, details.get(row.method), form, place),
                {**facets(cards.get(row.method)), "trust": row.trust},
                css.strip(),
            )
        )
    caption = Markup("{} of the tuned point: mean [95 % interval] and n").format(table.metric)
    return Table(
        "tuned", caption, columns, lines, by="rank", csv=place.data(f"tasks/{table.task}.csv")
    )


def said_metric(table: TaskTable) -> str:
    """The metric's name in words."""
    return table.metric.replace("_", " ")


def _result(
    table: TaskTable, row: Row, detail: Detail | None, form: Format, place: PageLinks
) -> list[TableCell]:
    versus = row.versus_reference
    ratio = detail.cost.ratio if detail and detail.cost else None
    return [
        method_cell(place, row.method, row),
        TableCell(rank_text(row.rank), row.rank[0] if row.rank else None),
        sample_cell(place, table.task, row.method, row.tuned, form),
        TableCell(span(form, versus.difference, versus.interval, "+"), versus.difference)
        if versus
        else EMPTY,
        TableCell(verdict(verdict_word(row))),
        TableCell(p_text(versus.p_adjusted), versus.p_adjusted) if versus else EMPTY,
        TableCell(f"{versus.superiority:.2f}", versus.superiority) if versus else EMPTY,
        sample_cell(place, table.task, row.method, row.defaults, form),
        TableCell(number(NORMALISED, row.score), row.score),
        TableCell(NONE if ratio is None else f"{ratio:.2f}", ratio),
        TableCell(runs_text(row.tuned)),
        TableCell(f"{row.trust} {row.isolation or ''}".strip()),
        command_cell(row.method, table.task),
    ]


def _answer(table: TaskTable, form: Format) -> Mapping[str, object]:
    """Who is at the top, in words."""
    ranked = [row for row in table.rows if row.rank]
    top = [row for row in ranked if row.rank and row.rank[0] == 1]
    return {
        "top": [row.method for row in top],
        "behind": len(ranked) - len(top),
        "reference_on_top": any(row.is_reference for row in top),
    }


def _defaults(view: TaskView, place: PageLinks) -> Table | None:
    """The same without tuning; None where no defaults were run."""
    table = view.defaults
    form = Format(table.unit, table.margin)
    rows = [row for row in table.rows if row.rank and row.defaults]
    if not rows:
        return None
    columns = [
        Column("method", "Method", text=True),
        Column("rank", "Rank", "interval", low=True),
        Column("defaults", f"Test {said_metric(table)}", f"{form.unit}, {direction(table)}"),
        Column("gain", f"Gain on {table.reference}", f"{form.unit}, positive is better"),
        Column("verdict", "Verdict", f"against {table.reference}", text=True),
        Column("p", "p", "sign-flip, Holm", low=True),
    ]
    lines = []
    for row in rows:
        versus = row.versus_reference
        cells = [
            method_cell(place, row.method, row),
            TableCell(rank_text(row.rank), row.rank[0] if row.rank else None),
            sample_cell(place, table.task, row.method, row.defaults, form),
            TableCell(span(form, versus.difference, versus.interval, "+"), versus.difference)
            if versus
            else EMPTY,
            TableCell(verdict(verdict_word(row))),
            TableCell(p_text(versus.p_adjusted), versus.p_adjusted) if versus else EMPTY,
        ]
        facet = {**facets(view.methods.get(row.method)), "trust": row.trust}
        lines.append(TableRow(cells, facet))
    return Table("defaults", "Ranked by the untuned defaults", columns, lines, by="rank")


def _targets(view: TaskView, form: Format, place: PageLinks) -> Table | None:
    """How often and how soon each method reaches the task's targets."""
    targets = view.card.targets
    columns = [Column("method", "Method", text=True)]
    for target in targets:
        what = f"{target.name} {number(form, target.value)}"
        columns += [
            Column(f"{target.name}_share", "Reached", what),
            Column(f"{target.name}_passes", "Passes", f"expected to {what}"),
        ]
    lines = []
    for detail in view.detail.details:
        found = {target.name: target for target in detail.targets}
        cells = [method_cell(place, detail.method)]
        for target in targets:
            reached = found.get(target.name)
            if reached is None:
                cells += [EMPTY, EMPTY]
                continue
            low, high = 100 * reached.rate.low, 100 * reached.rate.high
            share = Markup(
                f'{reached.reached} of {reached.n} <span class="i">[{low:.0f}, {high:.0f}] %</span>'
            )
            passes = reached.passes
            cells += [
                TableCell(share, reached.reached / reached.n if reached.n else None),
                TableCell("never" if passes is None else f"{passes:,.0f}", passes),
            ]
        lines.append(TableRow(cells))
    if not targets or not any(detail.targets for detail in view.detail.details):
        return None
    return Table("targets", "Time to target, on validation", columns, lines)


def _costs(view: TaskView, place: PageLinks) -> Table | None:
    """What a run spends."""
    columns = [
        Column("method", "Method", text=True),
        Column("passes", "Passes", "forward-backward"),
        Column("seconds", "Training", "median"),
        Column("ratio", "CPU time", "times the reference's"),
        Column("memory", "Memory", "largest resident set"),
        Column("state", "Optimizer state"),
        Column("near", "Near the best", "share of trials, %"),
        Column("gap", "Gap of the defaults", "on validation"),
        Column("diverged", "Diverged", "share of trials, %"),
    ]
    form = Format(view.card.metric.unit, view.card.metric.margin)
    lines = []
    for detail in view.detail.details:
        lines.append(TableRow([method_cell(place, detail.method), *_cost_cells(detail, form)]))
    if not lines:
        return None
    return Table("costs", "What it costs, and how much tuning matters", columns, lines)


def _cost_cells(detail: Detail, form: Format) -> Sequence[TableCell]:
    cost, tuning = detail.cost, detail.sensitivity
    spent = [EMPTY] * 5
    if cost:
        spent = [
            TableCell(f"{cost.passes:,.0f}", cost.passes),
            TableCell(duration(cost.seconds), cost.seconds),
            TableCell(NONE if cost.ratio is None else f"{cost.ratio:.2f}", cost.ratio),
            TableCell(size(cost.peak_bytes), cost.peak_bytes),
            TableCell(size(cost.optimizer_state_bytes), cost.optimizer_state_bytes),
        ]
    return [
        *spent,
        TableCell(f"{100 * tuning.near_best:.0f}", tuning.near_best),
        TableCell(number(form, tuning.default_gap), tuning.default_gap),
        TableCell(f"{100 * tuning.diverged:.0f}", tuning.diverged),
    ]


def _selection(view: TaskView, form: Format, place: PageLinks) -> Table | None:
    """Last, selected, oracle, side by side (protocol, 3)."""
    found = [detail for detail in view.detail.details if detail.selection]
    columns = [
        Column("method", "Method", text=True),
        Column("last", "Last", form.unit),
        Column("selected", "Selected on validation", f"{form.unit}; what ranks"),
        Column("oracle", "Best on test", f"{form.unit}; never a result"),
        Column("gap", "Oracle's gap", "what peeking would add"),
    ]
    sign = 1 if view.card.metric.direction == "maximize" else -1
    lines = []
    for detail in found:
        chosen = detail.selection
        if chosen is None:
            continue
        gap = sign * (chosen.oracle - chosen.selected)
        values = (chosen.last, chosen.selected, chosen.oracle)
        cells = [TableCell(number(form, value), value) for value in values]
        cells.append(TableCell(minus(form.number(gap, "+")), gap))
        lines.append(TableRow([method_cell(place, detail.method), *cells]))
    if not lines:
        return None
    return Table("selection", "Which snapshot is scored: mean test score", columns, lines)
