"""The comparison of two methods for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from assay_leaderboard.boards.two_methods import ComparisonReport, Duel
from assay_leaderboard.format import (
    OTHER_DRAWS,
    Format,
    hidden_text,
    level_text,
    needed_text,
    p_text,
    plain,
    view_text,
)
from assay_leaderboard.terminal.board import budget_words
from assay_leaderboard.terminal.console import new_table, show_lines


def show_report(report: ComparisonReport, out: Console) -> None:
    """Print the comparison of two methods."""
    table = new_table("task", ">n", ">A", ">B", ">A - B [level]", ">p", ">wins A", "verdict")
    heading = f"A = {report.a}, B = {report.b}, {budget_words(report.budget)}"
    out.print(plain(heading), style="bold")
    for duel in report.tasks:
        _add_duel(table, duel, report)
    out.print(table)
    counts = ", ".join(f"{name} {n}" for name, n in report.counts.items() if n)
    out.print(f"A is, by tasks: {counts or 'not judged on any'}")
    for overall in report.overall:
        low, high = overall.interval.low, overall.interval.high
        out.print(
            f"Together, {len(overall.tasks)} {overall.tier} task(s), n={overall.n}: normalised "
            f"difference {overall.difference:+.4f} [{low:+.4f}, {high:+.4f}] at "
            f"{level_text(report.confidence)}, p {p_text(overall.p)}"
        )
    show_lines(_footer(report), out)


def _add_duel(table: Table, duel: Duel, report: ComparisonReport) -> None:
    form, found = Format(duel.unit, duel.margin), duel.comparison
    if found is None:
        table.add_row(duel.task, "-", "-", "-", "", "", "", plain(duel.note), style="dim")
        return
    level = duel.pairs.level if duel.pairs else report.confidence
    word: str = found.verdict or ("preliminary" if duel.preliminary else "no verdict")
    if word == "undecided":
        word = f"{word}, n {needed_text(found, duel.pairs)}"
    table.add_row(
        duel.task,
        str(found.n),
        form.number(duel.mean_a),
        form.number(duel.mean_b),
        f"{form.span(found.difference, found.interval, '+')} {level_text(level)}",
        p_text(found.p),
        f"{found.superiority:.2f}",
        word,
    )


def _seeds(report: ComparisonReport) -> Iterator[str]:
    """Where the two were compared under hidden seeds."""
    if hidden := {duel.task: duel.seeds.epoch for duel in report.tasks if duel.seeds.epoch}:
        yield f"Under {hidden_text(hidden)}."


def _footer(report: ComparisonReport) -> list[str]:
    pairs = sorted({duel.pairs.pairs for duel in report.tasks if duel.pairs})
    m = f"{pairs[0]}" if len(pairs) == 1 else f"{pairs[0]} to {pairs[-1]}" if pairs else ""
    family = (
        f" The level makes each interval exclude 0 exactly where its pair passed "
        f"(Benjamini-Hochberg, q = {100 * report.false_discovery_rate:g} % over {m} pair(s) of the "
        "task); the verdict is that of the board."
        if m
        else ""
    )
    return [
        "A - B: mean difference over the same n repetitions, positive where A is better whatever "
        "the metric's direction; shares in %. p: exact sign flips. wins A: share of repetitions "
        f"that A wins, ties half; a count, no verdict.{family}",
        f"{OTHER_DRAWS} preliminary: fewer repetitions or points (--quick), without a verdict. A "
        "run that diverged, failed or ran out of budget counts as chance.",
        *_seeds(report),
        view_text(report.view),
        f"Next: assay board --method {report.a} --method {report.b}",
    ]
