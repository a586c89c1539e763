"""Boards and comparisons as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.table import Table

from assay_leaderboard.boards.two_methods import ComparisonReport, Duel
from assay_leaderboard.evidence.cells import run_command
from assay_leaderboard.format import (
    NORMALISED,
    Format,
    lost,
    p_text,
    plain,
    rank_text,
    verdict_word,
)
from assay_leaderboard.schema.board import (
    Board,
    FamilySummary,
    Row,
    Sample,
    SummaryRow,
    TaskTable,
    Withdrawn,
)
from assay_leaderboard.schema.values import Comparison
from assay_leaderboard.terminal.console import new_table, show_lines


def show_board(board: Board, out: Console) -> None:
    """Print `board`: tasks, families, overall, then how it was computed."""
    for table in board.tasks:
        _show_task(table, board, out)
    for summary in [*board.families, *([board.overall] if board.overall else [])]:
        _show_summary(summary, board, out)
    show_lines(_board_footer(board), out)


def show_report(report: ComparisonReport, out: Console) -> None:
    """Print the comparison of two methods."""
    percent = f"{report.confidence:.0%}"
    table = new_table("task", ">n", ">A", ">B", f">A - B [{percent}]", ">p", ">P(A>B)", "verdict")
    out.print(plain(f"A = {report.a}, B = {report.b} ({report.basis})"), style="bold")
    for duel in report.tasks:
        _add_duel(table, duel)
    out.print(table)
    counts = ", ".join(f"{name} {n}" for name, n in report.counts.items())
    out.print(f"A is, by tasks: {counts}")
    if report.overall:
        overall, interval = report.overall, report.overall.interval
        out.print(
            f"Overall, {len(overall.tasks)} task(s): normalised difference "
            f"{overall.difference:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}], "
            f"P(A beats B) {overall.superiority:.2f}"
        )
    show_lines(_report_footer(report), out)


def _show_task(task: TaskTable, board: Board, out: Console) -> None:
    form = Format(task.unit, task.margin)
    better = "higher" if task.direction == "maximize" else "lower"
    percent = f"{board.confidence:.0%}"
    out.print(plain(f"{task.task} v{task.version}: {task.title}"), style="bold")
    out.print(
        plain(
            f"  {task.family}, {task.tier}; test {task.metric} in {form.unit}, {better} is better; "
            f"chance {form.number(task.chance)}, margin {form.number(task.margin)}"
            + ("; deterministic" if task.deterministic else "")
        )
    )
    # Under --quick no defaults are repeated: a column of dashes would cost the others their width.
    both = any(row.tuned and row.defaults for row in task.rows)
    other = [">defaults" if board.basis == "tuned" else ">tuned"] if both else []
    table = new_table(
        ">rank", "method", f">{board.basis} [{percent}]", "runs", *other,
        f">gain on {task.reference} [{percent}]", ">p", "verdict",
    )  # fmt: skip
    for row in task.rows:
        _add_row(table, row, board, form, both)
    out.print(table)
    past = [_past(item, form) for item in task.withdrawn]
    notes = [*task.notes, *_row_notes(task), *_flag_notes(task), *past]
    show_lines((f"  {note}" for note in notes), out)
    out.print()


def _add_row(table: Table, row: Row, board: Board, form: Format, both: bool) -> None:
    samples: list[Sample | None] = [row.tuned, row.defaults]
    main, other = samples if board.basis == "tuned" else reversed(samples)
    versus = row.versus_reference
    table.add_row(
        rank_text(row.rank),
        row.method + _mark(row, _published(board)) + (" (flagged)" if row.flags else ""),
        form.span(main.mean, main.interval) if main else "-",
        _runs(main, row) if main else "-",
        *([form.number(other.mean) if other else "-"] if both else []),
        form.span(versus.difference, versus.interval, "+") if versus else "",
        _p(versus),
        verdict_word(row),
        style="" if row.state == "ranked" else "dim",
    )


def _published(board: Board) -> bool:
    return any(row.trust != "T0" for task in board.tasks for row in task.rows)


def _mark(row: Row, published: bool) -> str:
    """The tier of a published row; "(local)" for others, where some are published or it is not in
    the checkout.
    """
    if row.trust != "T0":
        return f" {row.trust}"
    return " (local)" if row.local or published else ""


def _runs(sample: Sample, row: Row) -> str:
    """For example "10/12 L2, 2 diverged"."""
    parts = [f"{sample.completed}/{sample.planned} {row.isolation or ''}".rstrip()]
    parts += [f"{count} {name}" for count, name in lost(sample)]
    return ", ".join(parts) + (" prelim." if row.preset == "quick" else "")


def _p(comparison: Comparison | None) -> str:
    return p_text(comparison.p_adjusted if comparison else None, none="")


def _row_notes(task: TaskTable) -> list[str]:
    """Why rows are not ranked; methods with the same reason share a line."""
    methods: dict[str, list[str]] = {}
    for row in task.rows:
        if row.note:
            methods.setdefault(f"{row.state}, {row.note}", []).append(row.method)
    return [f"{', '.join(names)}: {reason}" for reason, names in methods.items()]


def _flag_notes(task: TaskTable) -> list[str]:
    """What the detectors found, a line each."""
    return [
        f"{row.method}: flagged, {flag.code}: {flag.message}"
        for row in task.rows
        for flag in row.flags
    ]


def _past(item: Withdrawn, form: Format) -> str:
    value = f"{form.number(item.mean)}, n = {item.n}"
    return f"{item.method}: {item.state} {item.since[:10]} (was {value}): {item.reason}"


def _show_summary(summary: FamilySummary, board: Board, out: Console) -> None:
    percent, n_tasks = f"{board.confidence:.0%}", len(summary.tasks)
    out.print(f"{summary.name}: {n_tasks} task(s)", style="bold")
    ranked = [row for row in summary.rows if row.rank]
    if ranked:
        table = new_table(
            ">rank", "method", f">IQM [{percent}]", ">other tasks", f">gap [{percent}]", ">n"
        )
        for row in ranked:
            _add_summary_row(table, row)
        out.print(table)
    lacking = [f"{row.method} {row.n_tasks}/{n_tasks}" for row in summary.rows if not row.rank]
    lines = [f"  {line}" for line in _unstable(ranked)]
    if lacking and n_tasks:
        lines.append(f"  Not ranked, tasks are lacking: {', '.join(lacking)}")
    if summary.unanchored:
        lines.append(f"  Not scored, no usable reference: {', '.join(summary.unanchored)}")
    show_lines(lines, out)
    out.print()


def _add_summary_row(table: Table, row: SummaryRow) -> None:
    table.add_row(
        rank_text(row.rank),
        row.method + (" (prelim.)" if row.preliminary else ""),
        NORMALISED.span(row.iqm, row.iqm_interval),
        NORMALISED.ends(row.iqm_interval_tasks),
        NORMALISED.span(row.optimality_gap, row.optimality_gap_interval),
        str(row.n),
    )


def _unstable(rows: Iterable[SummaryRow]) -> Iterator[str]:
    """Methods whose first rank changes with one task, or one other method, left out."""
    found: dict[str, list[str]] = {"task": [], "method": []}
    for row in rows:
        for left_out, rank in (
            ("task", row.rank_without_task),
            ("method", row.rank_without_method),
        ):
            if row.rank and rank and rank != (row.rank[0],) * 2:
                found[left_out].append(f"{row.method} {rank_text(rank)}")
    for left_out, names in found.items():
        if names:
            yield f"First rank with any one {left_out} left out: {', '.join(names)}"


def _board_footer(board: Board) -> list[str]:
    rows = [row for task in board.tasks for row in task.rows]
    ns = sorted({s.n for r in rows if (s := r.tuned if board.basis == "tuned" else r.defaults)})
    cells = [(row, task.task) for task in board.tasks for row in task.rows]
    quick = [(row.method, task) for row, task in cells if row.preset == "quick"]
    unfinished = [(row.method, task) for row, task in cells if row.state != "ranked"]
    lines = [
        f"n = {', '.join(map(str, ns))} paired repetitions a row; mean test score, BCa bootstrap "
        "interval. A repetition that diverged, failed or ran out of budget counts as the chance "
        "level.",
        "gain: mean paired difference, positive is better. p: exact sign-flip test, Holm over the "
        "methods of the task. equivalent: two one-sided t tests within the margin.",
        f"rank: 1 + methods shown to be better .. n - shown to be worse; all pairs, "
        f"Benjamini-Hochberg at {board.alpha:.0%}. Families: 0 = chance, 1 = the tuned reference's "
        "own mean; IQM = interquartile mean over tasks, stratified bootstrap "
        f"({board.bootstrap_draws:,} draws); ranks there also ask for a difference beyond the "
        "tasks' mean margin. other tasks: the interval of the IQM with tasks resampled too. gap: "
        "mean shortfall from 1.",
    ]
    if _published(board):
        lines.append(
            "T1: the bundle hangs together. T2: runs of it were repeated by others. T3: hidden "
            "seeds of the organisers. local: your own results (T0), published nowhere."
        )
    if any(row.isolation for row in rows):
        lines.append(
            "L2: the method ran in a sandbox. L1: in a process of its own, weakly guarded."
        )
    if any(task.deterministic for task in board.tasks):
        lines.append("Deterministic tasks: one repetition, compared by the margin, without a test.")
    if any(row.flags for row in rows):
        lines.append(
            "flagged: the records are unusual in the way that is named; it changes no number here."
        )
    if quick:
        names = ", ".join(sorted({method for method, _ in quick}))
        lines.append(f"Preliminary (--quick): {names}. Next, in full: {run_command(*quick[0])}")
    elif unfinished:
        lines.append(f"Next: {run_command(*unfinished[0])}")
    else:
        lines.append("Next: assay compare METHOD METHOD, or assay board --defaults")
    return lines


def _add_duel(table: Table, duel: Duel) -> None:
    form, found = Format(duel.unit, duel.margin), duel.comparison
    name = duel.task + (" (prelim.)" if duel.preliminary else "")
    if found is None:
        table.add_row(name, "-", "-", "-", "", "", "", plain(duel.note), style="dim")
        return
    verdict = found.verdict + (" (deterministic)" if duel.deterministic else "")
    table.add_row(
        name,
        str(found.n),
        form.number(duel.mean_a),
        form.number(duel.mean_b),
        form.span(found.difference, found.interval, "+"),
        _p(found),
        f"{found.superiority:.2f}",
        verdict,
    )


def _report_footer(report: ComparisonReport) -> list[str]:
    return [
        "A - B: mean paired difference, positive where A is better whatever the metric's direction "
        "(BCa bootstrap interval); shares in %. p: exact sign-flip test, Holm over these tasks. "
        "P(A>B): share of paired repetitions, ties half.",
        "equivalent: two one-sided t tests within the task's margin. A repetition that diverged, "
        "failed or ran out of budget counts as the chance level. prelim.: --quick, or incomplete.",
        f"Next: assay board --method {report.a} --method {report.b}",
    ]
