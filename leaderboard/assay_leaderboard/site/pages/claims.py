"""The page of claims: what papers claim, and whether the records support it."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from assay_leaderboard.claims.ledger import ClaimRow
from assay_leaderboard.claims.one_task import TaskFinding
from assay_leaderboard.claims.pooled import ClaimVerdict, TierVerdict
from assay_leaderboard.evidence.cells import run_command
from assay_leaderboard.format import NORMALISED, OTHER_DRAWS, Format, level_text
from assay_leaderboard.site.html.links import PageLinks, SiteMap
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import NONE, link, number, p_text, said, span, verdict
from assay_leaderboard.site.pages.notices import notices
from assay_leaderboard.site.views import SiteView

MARKS: dict[ClaimVerdict, str] = {
    "supported": "▲",
    "no meaningful difference": "≈",
    "contradicted": "▼",
    "mixed": "◆",
    "inconclusive": "?",
    "not tested": "○",
}
"""The marks of verdicts, and the order of the page's rows."""


def claims_page(view: SiteView, site: SiteMap) -> dict[str, str]:
    """/claims/index.html."""
    links = site.at("claims")
    order = list(MARKS)
    rows = sorted(view.ledger.rows, key=lambda row: order.index(row.verdict))
    return page(
        site,
        "claims",
        "claims.html",
        ledger=view.ledger,
        tallies={
            "Claims whose quotation was checked": view.ledger.counts,
            "Claims whose quotation is unchecked": view.ledger.counts_unchecked,
            "Controls of ours, which are in no paper": view.ledger.counts_controls,
        },
        marks=MARKS,
        notices=notices(view.board.tasks),
        other_draws=OTHER_DRAWS,
        table=claims_table(rows, links, ids=True),
        findings=[
            (
                row,
                [
                    (finding, *_effect_texts(finding), _tasks(row, finding, links))
                    for finding in row.findings
                ],
            )
            for row in rows
            if row.findings
        ],
    )


def _verdict(word: ClaimVerdict) -> Markup:
    """The verdict on a claim, with its mark."""
    return Markup('<span class="v {}"><span aria-hidden="true">{}</span> {}</span>').format(
        word.replace(" ", "-"), MARKS[word], word
    )


def _form(finding: TierVerdict) -> Format:
    return NORMALISED if finding.unit == "normalised" else Format(finding.unit, 0.01)


def _effect(finding: TierVerdict) -> Markup:
    """The mean difference and its interval, in its unit; without one where it is normalised."""
    units = {"share": "points", "normalised": ""}
    unit = units.get(finding.unit, finding.unit)
    text = span(_form(finding), finding.difference, finding.interval, "+")
    return Markup("{} {}").format(text, unit) if unit and finding.difference is not None else text


def _p(finding: TierVerdict) -> Markup | str:
    """The p value; with what it is of, where that is not a difference from 0."""
    text = p_text(finding.p)
    if finding.p is None or not finding.bar:
        return text
    bar = number(_form(finding), finding.bar)
    return Markup("{} <small>against {}</small>").format(text, bar)


def _effect_texts(finding: TierVerdict) -> tuple[Markup, str]:
    """The effect, and what its interval is held against."""
    bar, margin = (number(_form(finding), value) for value in (finding.bar, finding.margin))
    held = f"held against {bar}, equivalent within ±{margin}"
    if finding.level is not None:
        held = f"interval at level {level_text(finding.level)}, {held}"
    return _effect(finding), held


def claims_table(
    claims: Sequence[ClaimRow], links: PageLinks, *, ids: bool = False
) -> Table | None:
    """One row a claim; `ids`: the page also holds the details that the rows link to."""
    if not claims:
        return None
    columns = [
        Column("claim", "Claim", text=True),
        Column("method", "Method", text=True),
        Column("verdict", "Verdict", "at the highest tier that gives one", text=True),
        Column("tasks", "Tasks", "tested of named"),
        Column("effect", "Effect", "normalised, unless it has a unit; positive: for the claim"),
        Column("p", "p", "exact sign flips", low=True),
        Column("n", "n", "repetitions"),
        Column("against", "Against", text=True),
        Column("quotation", "Quotation", "read in the paper?", text=True),
        Column("written", "Written", "and first results", text=True),
    ]
    rows = [
        TableRow(_cells(row, links, ids), {"family": _families(row), "tier": row.tier or "none"})
        for row in claims
    ]
    return Table("claims", "Claims", columns, rows, csv=links.data("claims.csv"))


def _families(row: ClaimRow) -> str:
    found = {task.family for finding in row.findings for task in finding.tasks}
    return " ".join(sorted(found)) or "none"


def _cells(row: ClaimRow, links: PageLinks, ids: bool) -> list[TableCell]:
    shown = next((finding for finding in row.findings if finding.tier == row.tier), None)
    anchor = f"{row.method}-{row.number}"
    address = f"#{anchor}" if ids else links.page("claims") + f"#{anchor}"
    tier = Markup(f" <small>{escape(row.tier)}</small>" if row.tier else "")
    if shown is None and row.findings:
        tier = Markup(" <small>preliminary results only</small>")
    for other in row.findings:
        if other is not shown and other.verdict not in (None, row.verdict):
            tier += Markup("<br><small>{}: {}</small>").format(other.tier, other.verdict)
    tested = f"{row.n_tasks} of its {row.of_tasks}"
    return [
        TableCell(link(address if row.findings else None, said(row.text)), css="long"),
        TableCell(link(links.method(row.method), row.method)),
        TableCell(_verdict(row.verdict) + tier),
        TableCell(tested, row.n_tasks),
        TableCell(_effect(shown) if shown else NONE, shown.difference if shown else None),
        TableCell(_p(shown) if shown else NONE, shown.p if shown else None),
        TableCell(str(shown.n) if shown else NONE, shown.n if shown else None),
        TableCell(f"{row.better_than}{'' if row.tuned else ', defaults'}"),
        TableCell(_quotation(row)),
        TableCell(_dates(row)),
    ]


def _quotation(row: ClaimRow) -> Markup:
    """Whether it was read in the paper; unfolds to what the paper says."""
    read = "none: a control" if row.control else "checked" if row.checked else "unchecked"
    folded = Markup('<details class="quotation"><summary>{}</summary> {}</details>')
    return folded.format(read, said(row.source))


def _dates(row: ClaimRow) -> Markup | str:
    """When the claim was written; tagged where that was after the first results."""
    if row.written is None:
        return NONE
    written = row.written.isoformat()
    if not row.results_since:
        return written
    tag = ' <span class="tag flagged">edited after results</span>' if row.edited_late else ""
    return Markup("{}, results {}").format(written, row.results_since[:10]) + Markup(tag)


def _tasks(row: ClaimRow, finding: TierVerdict, links: PageLinks) -> Table:
    """The tasks that a verdict rests on."""
    columns = [
        Column("task", "Task", text=True),
        Column("effect", "Effect", f"of {human(row.metric)}, positive: for the claim"),
        Column("verdict", "Verdict", "of the pair on its task", text=True),
        Column("p", "p", "exact sign flips"),
        Column("n", "n", "repetitions"),
        Column("mean", "Method", human(row.metric)),
        Column("other", "Other", row.better_than),
        Column("command", "Evidence", text=True),
    ]
    rows = [TableRow(_task_cells(row, task, links)) for task in finding.tasks]
    said_verdict = finding.verdict or "no verdict"
    caption = (
        f"{finding.tier}: {said_verdict}. Intervals at the level of the family of pairs that each "
        "verdict comes from"
    )
    identity = f"{row.method}-{row.number}-{finding.tier}"
    return Table(identity, caption, columns, rows, live=False)


def _task_cells(row: ClaimRow, task: TaskFinding, links: PageLinks) -> list[TableCell]:
    form = Format(task.unit, task.margin or 0.01)
    found = task.comparison
    compared = task.kind != "none"
    word = task.verdict or ("preliminary" if task.kind == "preliminary" else NONE)
    evidence = (
        link(links.runs(task.task, row.method), "runs")
        if compared
        else Markup(f"<code>{escape(run_command(row.method, task.task))}</code>")
    )
    interval = found.interval if found else None
    seeds = Markup(" <small>hidden seeds of epoch {}</small>").format(task.epoch or "")
    seeds = seeds if task.epoch else Markup("")
    return [
        TableCell(link(links.task(task.task), task.task) + seeds),
        TableCell(span(form, task.difference, interval, "+"), task.difference)
        if compared
        else TableCell(said(task.note)),
        TableCell(verdict(word)),
        TableCell(p_text(found.p) if found else NONE, found.p if found else None),
        TableCell(str(found.n) if found else NONE, found.n if found else None),
        TableCell(span(form, task.mean, None), task.mean),
        TableCell(span(form, task.mean_other, None), task.mean_other),
        TableCell(evidence),
    ]
