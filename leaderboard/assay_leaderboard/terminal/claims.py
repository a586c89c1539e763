"""The claims ledger for a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import get_args

from rich.console import Console

from assay_leaderboard.claims.ledger import ClaimRow, Ledger
from assay_leaderboard.claims.pooled import ClaimVerdict, TierVerdict
from assay_leaderboard.format import (
    NORMALISED,
    Format,
    hidden_text,
    level_text,
    p_text,
    plain,
    view_text,
)
from assay_leaderboard.terminal.console import show_lines

WIDEST = max(map(len, get_args(ClaimVerdict)))
"""Letters of a verdict."""


def show_ledger(ledger: Ledger, out: Console) -> None:
    """Print `ledger`: each claim and its verdicts, notes, how it was judged, what to do next."""
    for row in ledger.rows:
        out.print(_claim(row))
        for line in _verdicts(row):
            out.print(line, style="" if row.findings else "dim")
    out.print()
    for kind, counts in {
        "claim(s) with a checked quotation": ledger.counts,
        "with an unchecked one": ledger.counts_unchecked,
        "control(s) of ours, which are in no paper": ledger.counts_controls,
    }.items():
        out.print(f"{sum(counts.values())} {kind}: {_counts(counts)}")
    show_lines(_notes(ledger), out)
    show_lines(_footer(ledger), out)


def _counts(counts: Mapping[ClaimVerdict, int]) -> str:
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n) or "none"


def _claim(row: ClaimRow) -> str:
    what = f"{row.metric}, {'tuned' if row.tuned else 'defaults'}, against {row.better_than}"
    margin = ""
    if row.margin:
        margin = f", at most {-row.margin:g} worse" if row.margin < 0 else f" +-{row.margin:g}"
    checked = "" if row.checked or row.control else "; quotation unchecked"
    return plain(f"{row.method} {row.number}: {row.text} ({what}{margin}{checked})")


def _verdicts(row: ClaimRow) -> Iterator[str]:
    """A line for each tier."""
    if not row.findings:
        yield f"  not tested, 0 of {row.of_tasks} tasks"
    for found in row.findings:
        verdict = found.verdict or ("preliminary" if found.preliminary else "no verdict")
        numbers = [_effect(found)]
        numbers += [f"p {p_text(found.p)}"] if found.p is not None else []
        numbers += [f"n {found.n}", f"{found.n_tasks} of {row.of_tasks} tasks"]
        yield f"  {found.tier:8}  {verdict:{WIDEST}}  {', '.join(numbers)}"


def _effect(finding: TierVerdict) -> str:
    form = NORMALISED if finding.unit == "normalised" else Format(finding.unit, 0.01)
    unit = "" if finding.unit in ("share", "normalised") else f" {finding.unit}"
    level = f" at {level_text(finding.level)}" if finding.level is not None else ""
    return form.span(finding.difference, finding.interval, "+") + unit + level


def _notes(ledger: Ledger) -> Iterator[str]:
    """Notes on the verdicts, and why tasks were left out."""
    for row in ledger.rows:
        if row.edited_late and row.written and row.results_since:
            yield (
                f"  {row.method} {row.number}: written {row.written.isoformat()}, after the first "
                f"results ({row.results_since[:10]})"
            )
        for finding in row.findings:
            if finding.note:
                yield f"  {row.method} {row.number}, {finding.tier}: {finding.note}"
            if hidden := {task.task: task.epoch for task in finding.tasks if task.epoch}:
                yield f"  {row.method} {row.number}, {finding.tier}: {hidden_text(hidden)}"
        for reason in dict.fromkeys(row.reasons.values()):
            tasks = [task for task, its in row.reasons.items() if its == reason]
            yield f"  {row.method} {row.number}: {reason} ({', '.join(tasks)})"


def _footer(ledger: Ledger) -> list[str]:
    lines = [
        "effect: mean over the tasks and the n repetitions of the difference in normalised score, "
        "positive where the claim holds. Its level is that of Holm's correction over the claims of "
        f"the card (alpha = {ledger.alpha:g}), so that the verdict is read off the interval. p: "
        "exact sign flips.",
        "contradicted: the interval is below 0 (or the shortfall that the claim allows). "
        "supported: above, and no task is significantly worse. mixed: some tasks are "
        "significantly better, some worse. no meaningful difference: within the margin, even if "
        "it excludes 0. inconclusive: anything else.",
        "A verdict holds at its tier only. Stale results never count, and preliminary ones "
        "(--quick) give no verdict.",
        view_text(ledger.view),
    ]
    lacking = next((row for row in ledger.rows if row.untested), None)
    if lacking:
        other = "" if lacking.better_than == "reference" else f" {lacking.better_than}"
        lines.append(
            f"Next: assay run {lacking.method}{other} --task {shlex.quote(lacking.untested[0])}"
        )
    else:
        lines.append("Next: assay compare METHOD METHOD")
    return lines
