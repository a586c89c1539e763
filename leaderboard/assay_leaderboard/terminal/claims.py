"""The claims ledger for a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from assay_leaderboard.claims.ledger import ClaimRow, Ledger, TierVerdict
from assay_leaderboard.format import Format, p_text, plain
from assay_leaderboard.terminal.console import new_table, show_lines


def show_ledger(ledger: Ledger, out: Console) -> None:
    """Print `ledger`: a row per claim and tier, notes, how it was judged, what to do next."""
    shown = new_table(
        "claim", "tier", "verdict", f">effect [{ledger.confidence:.0%}]", ">p", ">n", ">tasks"
    )
    for row in ledger.rows:
        _add(shown, row)
    out.print(shown)
    counts = ", ".join(f"{n} {verdict}" for verdict, n in ledger.counts.items())
    out.print(f"\n{len(ledger.rows)} claim(s): {counts}")
    show_lines(_notes(ledger), out)
    show_lines(_footer(ledger), out)


def _add(shown: Table, row: ClaimRow) -> None:
    what = f"{row.metric}, {'tuned' if row.tuned else 'defaults'}, against {row.better_than}"
    beyond = f" by more than {row.margin:g}" if row.margin else ""
    text = plain(f"{row.method} {row.number}: {row.text} ({what}{beyond})")
    n_tasks = len(row.untested) + sum(finding.n_tasks for finding in row.findings)
    if not row.findings:
        shown.add_row(text, "-", "not tested", "-", "", "", f"0/{n_tasks}", style="dim")
    for position, finding in enumerate(row.findings):
        shown.add_row(
            text if position == 0 else "",
            finding.tier,
            finding.verdict + (" (prelim.)" if finding.preliminary else ""),
            _effect(finding),
            p_text(finding.p, none=""),
            str(finding.n),
            f"{finding.n_tasks}/{n_tasks}",
        )
    shown.add_section()


def _effect(finding: TierVerdict) -> str:
    form = Format(finding.unit, 0.005 if finding.unit in ("share", "normalised") else 0.1)
    unit = "" if finding.unit in ("share", "normalised") else f" {finding.unit}"
    return form.span(finding.difference, finding.interval, "+") + unit


def _notes(ledger: Ledger) -> Iterator[str]:
    """Notes on the verdicts, and why tasks were left out."""
    for row in ledger.rows:
        for finding in row.findings:
            if finding.note:
                yield f"  {row.method} {row.number}, {finding.tier}: {finding.note}"
        for task, reason in row.reasons.items():
            yield f"  {row.method} {row.number}, {task}: {reason}"


def _footer(ledger: Ledger) -> list[str]:
    lines = [
        "effect: mean over the tasks of the paired differences, positive where the claim holds; "
        "shares in percentage points, BCa interval over the n repetitions. A repetition without a "
        "score counts as the chance level.",
        "p: exact sign-flip test of the effect beyond the claim's margin, Holm over the claims of "
        f"the method at that tier. supported: p <= {ledger.alpha:g}, better. contradicted: "
        f"p <= {ledger.alpha:g}, not better; or shown to be equivalent within the margin.",
        "A verdict holds at its tier only: a claim about large networks that is supported at lite "
        "is supported at lite scale. Stale results never count; prelim.: --quick, or incomplete.",
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
