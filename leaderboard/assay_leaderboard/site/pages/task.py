"""The page of a task, and the index of all tasks; cells that other pages share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.cards import SubmissionCard, TaskCard
from markupsafe import Markup, escape

from assay_leaderboard.evidence.cells import run_command
from assay_leaderboard.format import NORMALISED, Format
from assay_leaderboard.schema.board import Row, Sample, TaskTable
from assay_leaderboard.schema.task_details import Detail
from assay_leaderboard.site.html.links import PageLinks, SiteMap
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import (
    NONE,
    duration,
    link,
    minus,
    number,
    p_text,
    rank_text,
    runs_text,
    said,
    size,
    span,
    verdict,
    verdict_word,
)
from assay_leaderboard.site.pages import figures
from assay_leaderboard.site.pages.recommendation import SHOWN, stale_note
from assay_leaderboard.site.views import SiteView, TaskView

EMPTY = TableCell(NONE)


def task_page(view: TaskView, site: SiteMap) -> dict[str, str]:
    """/task/<slug>/index.html."""
    path = f"task/{view.card.slug}"
    links, form = site.at(path), Format(view.card.metric.unit, view.card.metric.margin)
    details = {detail.method: detail for detail in view.detail.details}
    return page(
        site,
        path,
        "task.html",
        card=view.card,
        form=form,
        direction=direction(view.tuned),
        table=view.tuned,
        notes=_notes(view.tuned),
        stale=stale_note([view.tuned]),
        answer=_answer(view.tuned, form),
        tuned=_results(view.tuned, view.methods, details, links),
        defaults=_defaults(view, links),
        targets=_targets(view, form, links),
        costs=_costs(view, links),
        selection=_selection(view, form, links),
        pictures=figures.of_task(view),
        evaluations=view.card.evaluation.batches(view.card.budget.batches),
    )


def direction(table: TaskTable) -> str:
    """Which scores of the task are good, in words."""
    return "higher is better" if table.direction == "maximize" else "lower is better"


def method_cell(links: PageLinks, slug: str, row: Row | None = None) -> TableCell:
    """The header of a row: a link to the method, with the tags of its row on a task."""
    name = link(links.method(slug), slug)
    return TableCell(Markup(f"{name}{_marks(row)}") if row else name)


def _marks(row: Row) -> str:
    words = ["reference"] if row.is_reference else []
    words += ["local"] if row.local or row.trust == "T0" else []
    words += ["preliminary"] if row.preset == "quick" else []
    words += [row.state] if row.state != "ranked" else []
    words += ["flagged"] if row.flags else []
    return "".join([f' <span class="tag {word}">{word}</span>' for word in words])


def rank_cell(rank: tuple[int, int] | None) -> TableCell:
    """A rank interval, sorted by its first rank."""
    return TableCell(rank_text(rank), rank[0] if rank else None)


def facets(card: SubmissionCard | None) -> dict[str, str]:
    """The filter values of a method's rows that come from its card."""
    if card is None:
        return {"track": "unknown", "access": "unknown"}
    return {"track": card.track, "access": " ".join(card.access) or "none"}


def linked(address: str, content: str | Markup) -> Markup:
    """A number with a link to the runs behind it."""
    return Markup(f'<a class="q" href="{escape(address)}">{escape(content)}</a>')


def sample_cell(
    links: PageLinks, task: str, method: str, sample: Sample | None, form: Format
) -> TableCell:
    """Mean, interval and n, with a link to the runs."""
    if sample is None or sample.mean is None:
        return EMPTY
    text = span(form, sample.mean, sample.interval)
    mean = linked(links.runs(task, method), text)
    return TableCell(Markup(f'{mean} <span class="of">n={sample.n}</span>'), sample.mean)


def command_cell(method: str, task: str) -> TableCell:
    """The command that makes the records of a row."""
    return TableCell(Markup(f"<code>{escape(run_command(method, task))}</code>"))


def _results(
    table: TaskTable,
    cards: Mapping[str, SubmissionCard],
    details: Mapping[str, Detail],
    links: PageLinks,
) -> Table:
    """The table of the tuned repetitions."""
    form = Format(table.unit, table.margin)
    unit = f"{form.unit}, {direction(table)}"
    columns = [
        Column("method", "Method", text=True),
        Column("rank", "Rank", "interval", low=True),
        Column("tuned", f"Test {human(table.metric)}", unit),
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
    rows: list[TableRow] = []
    last = 0
    for row in table.rows:
        first = row.rank[0] if row.rank else 0
        css = "" if row.state == "ranked" else "dim"
        css += " group" if rows and first != last else ""
        last = first
        rows.append(
            TableRow(
                _result(table, row, details.get(row.method), form, links),
                {**facets(cards.get(row.method)), "trust": row.trust},
                css.strip(),
            )
        )
    caption = Markup("{} of the tuned point: mean [95 % interval] and n").format(table.metric)
    csv = links.data(f"tasks/{table.task}.csv")
    return Table("tuned", caption, columns, rows, sorted_by="rank", csv=csv)


def _result(
    table: TaskTable, row: Row, detail: Detail | None, form: Format, links: PageLinks
) -> list[TableCell]:
    versus = row.versus_reference
    ratio = detail.cost.ratio if detail and detail.cost else None
    return [
        method_cell(links, row.method, row),
        rank_cell(row.rank),
        sample_cell(links, table.task, row.method, row.tuned, form),
        TableCell(span(form, versus.difference, versus.interval, "+"), versus.difference)
        if versus
        else EMPTY,
        TableCell(verdict(verdict_word(row))),
        TableCell(p_text(versus.p_adjusted), versus.p_adjusted) if versus else EMPTY,
        TableCell(f"{versus.superiority:.2f}", versus.superiority) if versus else EMPTY,
        sample_cell(links, table.task, row.method, row.defaults, form),
        TableCell(number(NORMALISED, row.score), row.score),
        TableCell(NONE if ratio is None else f"{ratio:.2f}", ratio),
        TableCell(runs_text(row.tuned)),
        TableCell(f"{row.trust} {row.isolation or ''}".strip()),
        command_cell(row.method, table.task),
    ]


def _answer(table: TaskTable, form: Format) -> Mapping[str, object]:
    """The methods at the top, how many are behind, and whether the reference is at the top."""
    ranked = [row for row in table.rows if row.rank]
    top = [row for row in ranked if row.rank and row.rank[0] == 1]
    return {
        "top": [row.method for row in top],
        "behind": len(ranked) - len(top),
        "reference_on_top": any(row.is_reference for row in top),
    }


def _notes(table: TaskTable) -> list[tuple[str, list[str]]]:
    """Why rows are not ranked: each note once, with the methods that it is about."""
    methods: dict[str, list[str]] = {}
    for row in table.rows:
        if row.note:
            methods.setdefault(f"{row.state}, {row.note}", []).append(row.method)
    return [*methods.items()]


def _defaults(view: TaskView, links: PageLinks) -> Table | None:
    """The ranking by the untuned defaults; None where no defaults were run."""
    table = view.defaults
    form = Format(table.unit, table.margin)
    ranked = [row for row in table.rows if row.rank and row.defaults]
    if not ranked:
        return None
    columns = [
        Column("method", "Method", text=True),
        Column("rank", "Rank", "interval", low=True),
        Column("defaults", f"Test {human(table.metric)}", f"{form.unit}, {direction(table)}"),
        Column("gain", f"Gain on {table.reference}", f"{form.unit}, positive is better"),
        Column("verdict", "Verdict", f"against {table.reference}", text=True),
        Column("p", "p", "sign-flip, Holm", low=True),
    ]
    rows = []
    for row in ranked:
        versus = row.versus_reference
        cells = [
            method_cell(links, row.method, row),
            rank_cell(row.rank),
            sample_cell(links, table.task, row.method, row.defaults, form),
            TableCell(span(form, versus.difference, versus.interval, "+"), versus.difference)
            if versus
            else EMPTY,
            TableCell(verdict(verdict_word(row))),
            TableCell(p_text(versus.p_adjusted), versus.p_adjusted) if versus else EMPTY,
        ]
        facet = {**facets(view.methods.get(row.method)), "trust": row.trust}
        rows.append(TableRow(cells, facet))
    return Table("defaults", "Ranked by the untuned defaults", columns, rows, sorted_by="rank")


def _targets(view: TaskView, form: Format, links: PageLinks) -> Table | None:
    """How often and how soon each method reaches the targets of the task."""
    targets = view.card.targets
    columns = [Column("method", "Method", text=True)]
    for target in targets:
        what = f"{target.name} {number(form, target.value)}"
        columns += [
            Column(f"{target.name}_share", "Reached", what),
            Column(f"{target.name}_passes", "Passes", f"expected to {what}"),
        ]
    rows = []
    for detail in view.detail.details:
        found = {target.name: target for target in detail.targets}
        cells = [method_cell(links, detail.method)]
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
        rows.append(TableRow(cells))
    if not targets or not any(detail.targets for detail in view.detail.details):
        return None
    return Table("targets", "Time to target, on validation", columns, rows)


def _costs(view: TaskView, links: PageLinks) -> Table | None:
    """What a run spends."""
    columns = [
        Column("method", "Method", text=True),
        Column("example_passes", "Example-passes", "what the budget counts"),
        Column("passes", "Passes", "forward-backward"),
        Column("examples", "Examples", "drawn"),
        Column("seconds", "Training", "median"),
        Column("ratio", "CPU time", "times the reference's"),
        Column("memory", "Memory", "largest resident set"),
        Column("state", "Optimizer state"),
        Column("near", "Near the best", "share of trials, %"),
        Column("gap", "Gap of the defaults", "on validation"),
        Column("diverged", "Diverged", "share of trials, %"),
    ]
    form = Format(view.card.metric.unit, view.card.metric.margin)
    rows = []
    for detail in view.detail.details:
        rows.append(TableRow([method_cell(links, detail.method), *_cost_cells(detail, form)]))
    if not rows:
        return None
    return Table("costs", "What it costs, and how much tuning matters", columns, rows)


def _cost_cells(detail: Detail, form: Format) -> Sequence[TableCell]:
    cost, tuning = detail.cost, detail.sensitivity
    spent = [EMPTY] * 7
    if cost:
        charged = cost.example_passes
        spent = [
            TableCell(NONE if charged is None else f"{charged:,.0f}", charged),
            TableCell(f"{cost.passes:,.0f}", cost.passes),
            TableCell(f"{cost.examples:,.0f}", cost.examples),
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


def _selection(view: TaskView, form: Format, links: PageLinks) -> Table | None:
    """Test scores of the last, the selected and the best snapshot, side by side."""
    found = [detail for detail in view.detail.details if detail.selection]
    columns = [
        Column("method", "Method", text=True),
        Column("last", "Last", form.unit),
        Column("selected", "Selected on validation", f"{form.unit}; what ranks"),
        Column("oracle", "Best on test", f"{form.unit}; never a result"),
        Column("gap", "Oracle's gap", "best on test minus selected"),
    ]
    sign = 1 if view.card.metric.direction == "maximize" else -1
    rows = []
    for detail in found:
        chosen = detail.selection
        if chosen is None:
            continue
        gap = sign * (chosen.oracle - chosen.selected)
        values = (chosen.last, chosen.selected, chosen.oracle)
        cells = [TableCell(number(form, value), value) for value in values]
        cells.append(TableCell(minus(form.number(gap, "+")), gap))
        rows.append(TableRow([method_cell(links, detail.method), *cells]))
    if not rows:
        return None
    return Table("selection", "Which snapshot is scored: mean test score", columns, rows)


def task_index_page(view: SiteView, site: SiteMap) -> dict[str, str]:
    """/task/index.html."""
    table = _index(view, site.at("task"))
    return page(site, "task", "tasks.html", table=table, stale=stale_note(view.board.tasks))


def _index(view: SiteView, links: PageLinks) -> Table:
    columns = [
        Column("task", "Task", text=True),
        Column("family", "Family", text=True),
        Column("tier", "Tier", text=True),
        Column("metric", "Metric", "and direction", text=True),
        Column("reference", "Reference", text=True),
        Column("methods", "Methods", "ranked"),
        Column("top", "Top tie group", "methods not shown to be worse", text=True),
        Column("separated", "Better than the reference", "methods"),
    ]
    tables = {table.task: table for table in view.board.tasks}
    rows = []
    for slug, card in sorted(view.tasks.items(), key=lambda item: (item[1].family, item[0])):
        table = tables.get(slug)
        ranked = [row for row in table.rows if row.rank] if table else []
        top = [row.method for row in ranked if row.rank and row.rank[0] == 1]
        better = sum(verdict_word(row) == "better" for row in ranked)
        cells = [
            _index_head(links, card),
            TableCell(human(card.family)),
            TableCell(card.tier),
            TableCell(f"{human(card.metric.name)}, {card.metric.direction}"),
            TableCell(card.reference),
            TableCell(str(len(ranked)) if ranked else NONE, len(ranked) or None),
            TableCell(_first_names(top)),
            TableCell(str(better) if ranked else NONE, better if ranked else None),
        ]
        rows.append(TableRow(cells, {"family": card.family, "tier": card.tier}))
    return Table("tasks", "All tasks", columns, rows)


def _index_head(links: PageLinks, card: TaskCard) -> TableCell:
    name = link(links.task(card.slug), card.slug)
    return TableCell(Markup(f"{name} <small>{said(card.title)}</small>"))


def _first_names(names: Sequence[str]) -> str:
    """The first few names and how many more there are."""
    if not names:
        return NONE
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
