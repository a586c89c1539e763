"""A board as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay.ruleset import RULESET, Tier
from rich.console import Console
from rich.table import Table

from assay_leaderboard.evidence.cells import run_command
from assay_leaderboard.format import (
    NORMALISED,
    OTHER_DRAWS,
    Format,
    budget_text,
    family_text,
    hidden_text,
    level_text,
    lost,
    needed_text,
    p_text,
    plain,
    rank_text,
    seeds_text,
    split_words,
    tries_text,
    verdict_word,
    view_text,
)
from assay_leaderboard.schema.board import (
    Board,
    FamilySummary,
    Former,
    Row,
    SummaryRow,
    TaskTable,
    Withdrawn,
    not_ranking,
)
from assay_leaderboard.terminal.console import new_table, show_lines

MOST_FORMER = 5
"""Results of earlier rulesets that are listed; the others are counted."""
REPEATED = {
    "identical": "bit for bit",
    "within_tolerance": "within the tolerance of another machine",
    "chaotic": "but chaotic, so that they show nothing",
}
"""What became of repeated runs, by the fields of a Replay."""


def show_board(board: Board, out: Console) -> None:
    """Print `board`: what ranks, tasks, families, overall, then how it was computed."""
    if board.tasks:
        out.print(view_text(board.view))
        out.print()
    for table in board.tasks:
        _show_task(table, board, out)
    for summary in [*board.families, *([board.overall] if board.overall else [])]:
        _show_summary(summary, board, out)
    show_lines(_footer(board), out)


def budget_words(budget: int | None, tier: Tier | None = None) -> str:
    """A board's budget in words; on a tier it is at most that tier's number of points."""
    if budget is None or (tier is not None and budget >= RULESET.k(tier)):
        return "at the full tuning budget"
    return budget_text(budget)


def _show_task(task: TaskTable, board: Board, out: Console) -> None:
    form, words = Format(task.unit, task.margin), split_words(task.family)
    better = "higher" if task.direction == "maximize" else "lower"
    unit = f" in {form.unit}" if form.unit else ""
    out.print(plain(f"{task.task} v{task.version}: {task.title}"), style="bold")
    out.print(
        plain(
            f"  {task.family}, {task.tier}; {words.scored(task.metric)}{unit}, {better} is better; "
            f"chance {form.number(task.chance)}, margin {form.number(task.margin)}; "
            f"{budget_words(board.budget, task.tier)}; ranks stand on {seeds_text(task.seeds)}"
        )
    )
    if task.rows:
        out.print(_table(task, board))
    past = [_past(item, form) for item in task.withdrawn]
    notes = [*task.notes, *_row_notes(task), *_lost(task), *_replays(task, form)]
    notes += _flag_notes(task)
    notes += [*past, *_former(task, form)]
    if task.pairs:
        notes.insert(0, f"gain: {family_text(task.pairs)}")
    show_lines((f"  {note}" for note in notes), out)
    out.print()


def _table(task: TaskTable, board: Board) -> Table:
    level = f" [{level_text(task.pairs.level)}]" if task.pairs else ""
    made = new_table(
        ">rank", "method", f">mean [{level_text(board.confidence)}]", ">n", "runs",
        f">gain on {task.reference}{level}", ">p", "verdict",
    )  # fmt: skip
    for row in task.rows:
        _add_row(made, row, task, board)
    return made


def _add_row(made: Table, row: Row, task: TaskTable, board: Board) -> None:
    form, versus = Format(task.unit, task.margin), row.versus_reference
    made.add_row(
        rank_text(row.rank),
        row.method + _mark(row, _published(board)) + (" (flagged)" if row.flags else ""),
        form.span(row.tuned.mean, row.tuned.interval),
        str(row.tuned.n),
        _runs(row),
        form.span(versus.difference, versus.interval, "+") if versus else "",
        p_text(versus.p if versus else None, none=""),
        _verdict(row, task),
        style="" if row.state == "ranked" else "dim",
    )


def _verdict(row: Row, task: TaskTable) -> str:
    """The verdict, with about how many repetitions would decide where it is undecided."""
    word, needed = verdict_word(row), needed_text(row.versus_reference, task.pairs)
    return f"{word}, n {needed}" if word == "undecided" else word


def _published(board: Board) -> bool:
    return any(row.trust != "T0" for task in board.tasks for row in task.rows)


def _mark(row: Row, published: bool) -> str:
    """The tier of a published row; "(local)" for others, where some are published or it is not in
    the checkout.
    """
    if row.trust != "T0":
        return f" {row.trust}"
    return " (local)" if row.local or published else ""


def _runs(row: Row) -> str:
    """Completed of all runs, and where: "94/96 L2"."""
    planned = row.runs.completed + sum(count for count, _ in lost(row.runs))
    return f"{row.runs.completed}/{planned} {row.isolation or ''}".rstrip()


def _lost(task: TaskTable) -> Iterator[str]:
    """How runs ended that did not complete, a line a kind."""
    ended: dict[str, list[str]] = {}
    for row in task.rows:
        for count, name in lost(row.runs):
            ended.setdefault(name, []).append(f"{row.method} {count}")
    for name, methods in ended.items():
        yield f"runs {name.replace('_', ' ')}: {', '.join(methods)}"


def _row_notes(task: TaskTable) -> list[str]:
    """What is to be said of rows; methods with the same note share a line."""
    methods: dict[str, list[str]] = {}
    for row in task.rows:
        if row.note:
            spoken = row.state == "ranked" or not_ranking(row.state)
            note = row.note if spoken else f"{row.state}, {row.note}"
            methods.setdefault(note, []).append(row.method)
    return [f"{', '.join(names)}: {reason}" for reason, names in methods.items()]


def _replays(task: TaskTable, form: Format) -> Iterator[str]:
    """What came of repeating published runs, a line a kind, and how often methods were tried."""
    rows = [(row.method, row.replay) for row in task.rows if row.replay]
    for field, words in REPEATED.items():
        if said := [f"{name} {count}" for name, r in rows if (count := getattr(r, field))]:
            yield f"runs repeated by others, {words}: {', '.join(said)}"
    if means := [
        f"{name} {form.number(r.mean_difference, '+')} (at most {form.number(r.allowed)})"
        for name, r in rows
        if r.mean_difference is not None
    ]:
        unit = f" in {form.unit}" if form.unit else ""
        yield f"recorded minus repeated on average{unit}: {', '.join(means)}"
    if tried := [f"{row.method} {tries_text(row)}" for row in task.rows if row.tries > 1]:
        yield f"submitted more than once: {'; '.join(tried)}"


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


def _former(task: TaskTable, form: Format) -> list[str]:
    """The results of earlier rulesets, in a line a ruleset."""
    by_ruleset: dict[int, list[Former]] = {}
    for item in sorted(task.former, key=lambda item: item.method):
        by_ruleset.setdefault(item.ruleset, []).append(item)
    lines = []
    for ruleset, items in sorted(by_ruleset.items()):
        shown = [f"{i.method} {form.number(i.mean)} (n={i.n})" for i in items[:MOST_FORMER]]
        more = len(items) - len(shown)
        rest = f" and {more} more" if more > 0 else ""
        lines.append(
            f"Ruleset {ruleset}, kept for reference, ranked nowhere: {', '.join(shown)}{rest}"
        )
    return lines


def _show_summary(summary: FamilySummary, board: Board, out: Console) -> None:
    n_tasks = len(summary.tasks)
    what = f"{n_tasks} task(s)"
    if len(summary.families) > 1:
        what = f"mean of {len(summary.families)} families, {what}"
    out.print(f"{summary.name}: {what}, {budget_words(board.budget, summary.tier)}", style="bold")
    ranked = [row for row in summary.rows if row.rank]
    if ranked:
        out.print(_summary_table(ranked, board))
    out_of = [row for row in summary.rows if row.score is None] if n_tasks else []
    lacking = [f"{row.method} {row.n_tasks}/{n_tasks}" for row in out_of if row.lacks]
    barred = [row.method for row in out_of if not row.lacks]
    lines = []
    if lacking:
        lines.append(
            f"  Not ranked before all tasks they may enter have results: {', '.join(lacking)}"
        )
    if barred:
        lines.append(f"  Not ranked, as they may not enter every family: {', '.join(barred)}")
    if ranked and summary.hidden:
        lines.append(f"  Ranks stand on {hidden_text(summary.hidden)}")
    if summary.unanchored:
        lines.append(f"  Left out, no anchor yet: {', '.join(summary.unanchored)}")
    show_lines(lines, out)
    out.print()


def _summary_table(ranked: Sequence[SummaryRow], board: Board) -> Table:
    made = new_table(
        ">rank", "method", f">score [{level_text(board.confidence)}]", ">range over tasks",
        ">other tasks", ">defaults", ">tasks", ">n",
    )  # fmt: skip
    for row in ranked:
        spread = row.range_tasks
        made.add_row(
            rank_text(row.rank),
            row.method,
            NORMALISED.span(row.score, row.interval),
            f"{spread[0]:.3f} to {spread[1]:.3f}" if spread else "-",
            NORMALISED.ends(row.interval_tasks),
            NORMALISED.number(row.defaults),
            f"{row.n_tasks}/{row.of_tasks}",
            str(row.n),
        )
    return made


def _footer(board: Board) -> list[str]:
    rows = [row for task in board.tasks for row in task.rows]
    if not rows:
        return ["Nothing is current here. Next: assay run METHOD --tier lite"]
    lines = [
        f"mean: over n repetitions, each the test score of the point that validation picks. "
        f"{OTHER_DRAWS} A run that diverged, failed or ran out of budget counts as chance.",
        "gain: mean difference over the same repetitions, positive is better; p: exact sign "
        "flips. The verdict is read off the gain's interval: above 0 better, below worse, within "
        "the margin equivalent (negligible: and it excludes 0), else undecided, with about the "
        "repetitions that would decide; none where no run of either completed.",
        f"rank: 1 + methods shown to be better .. n - shown to be worse, over all pairs "
        f"(Benjamini-Hochberg, q = {100 * board.false_discovery_rate:g} %). score: 0 = chance, 1 = "
        "the task's anchor; of a family the interquartile mean over tasks and repetitions "
        f"({board.bootstrap_draws:,} resamples of repetitions), overall the mean of the families.",
    ]
    if any(row.state == "preliminary" for row in rows):
        lines.append(
            "preliminary: fewer repetitions or points (--quick); a difference with its interval, "
            "no rank, no verdict."
        )
    if _published(board):
        lines.append(
            "T1: the bundle is complete and consistent. T2: runs of it were repeated by others. "
            "T3: repeated, and made with hidden seeds of the organisers. local: your own results "
            "(T0), not published."
        )
    if any(row.isolation for row in rows):
        lines.append(
            "L2: the method ran in a sandbox. L1: in a process of its own, weakly guarded."
        )
    if any(row.flags for row in rows):
        lines.append(
            "flagged: the records are unusual in the way that is named; it changes no number here."
        )
    return [*lines, _next(board)]


def _next(board: Board) -> str:
    cells = [(row, task.task) for task in board.tasks for row in task.rows]
    unfinished = [
        (row.method, task)
        for row, task in cells
        if row.state != "ranked" and not not_ranking(row.state)
    ]
    if unfinished:
        return f"Next: {run_command(*unfinished[0])}"
    return "Next: assay compare METHOD METHOD, or assay board --budget 1 (the defaults)"
