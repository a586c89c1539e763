"""The audit of the suite for a terminal."""

from __future__ import annotations

from rich.console import Console

from assay_leaderboard.audit.false_positives import SPLITS, ControlReport
from assay_leaderboard.audit.tasks import Audit, TaskAudit
from assay_leaderboard.audit.tiers import TierAgreement
from assay_leaderboard.format import Format, plain
from assay_leaderboard.terminal.console import new_table, show_lines


def show_audit(audit: Audit, out: Console) -> None:
    """Print `audit`: the tasks and their problems, the tiers, the A/A control."""
    shown = new_table(
        "task", "tier", "audit", f">over chance [{audit.confidence:.0%}]", "targets",
        ">separated", ">ceiling",
    )  # fmt: skip
    for task in audit.tasks:
        shown.add_row(
            task.task,
            task.tier,
            task.verdict,
            _over_chance(task),
            " ".join(f"{check.reached}/{check.n}" for check in task.targets) or "-",
            f"{task.n_separated}/{task.n_pairs}",
            "-" if task.ceiling is None else f"{task.ceiling:.0%}",
        )
    out.print(shown)
    for name in ("sound", "problem", "not measured"):
        n = sum(task.verdict == name for task in audit.tasks)
        out.print(f"{name}: {n} of {len(audit.tasks)} task(s)")
    show_lines((f"  {t.task}: {line}" for t in audit.tasks for line in t.problems), out)
    out.print()
    show_lines(_tasks_footer(audit), out)
    if audit.calibration:
        out.print("\nTiers: Kendall's tau of lite and standard scores", style="bold")
        for item in audit.calibration:
            out.print(plain(f"  {item.family}: {_calibration(item)}"))
    out.print("\nA/A control: the reference against itself under other seeds", style="bold")
    if audit.control:
        _show_control(audit.control, audit.confidence, out)
    else:
        out.print("  not run; next: assay aa")


def _over_chance(task: TaskAudit) -> str:
    if task.above_chance is None:
        return "-"
    found = task.above_chance
    return Format(task.unit, 0.005).span(found.difference, found.interval, "+")


def _calibration(item: TierAgreement) -> str:
    if item.tau is None:
        return item.note
    spread = f" [{item.interval.low:+.2f}, {item.interval.high:+.2f}]" if item.interval else ""
    return (
        f"{item.tau:+.2f}{spread}, {len(item.methods)} methods, "
        f"{item.n_lite} lite and {item.n_standard} standard task(s)"
    )


def _show_control(control: ControlReport, confidence: float, out: Console) -> None:
    shown = new_table(
        "task", ">runs", ">rejected", ">better/worse", ">equivalent", ">holds 0", ">disjoint"
    )
    for task in control.tasks:
        shares = (task.rejected, task.judged, task.equivalent, task.covered)
        shown.add_row(
            task.task,
            str(task.n_runs),
            *(f"{share:.1%}" for share in shares),
            f"{task.rejected_disjoint}/{task.n_disjoint}",
        )
    shares = (control.rejected, control.judged, control.equivalent, control.covered)
    shown.add_row(
        "all",
        str(control.n_runs),
        *(f"{share:.1%}" for share in shares),
        f"{control.rejected_independent}/{control.n_independent}",
        style="bold",
    )
    out.print(shown)
    low, high = control.interval.low, control.interval.high
    show_lines(
        [
            f"rejected: share of {SPLITS:,} random splits of a task's runs into two arms of "
            f"{control.n_repetitions} with p <= {control.alpha:g}; all of these are false. They "
            "share their runs, so they are no independent evidence. better/worse: the verdict. "
            "holds 0: share of the BCa intervals that contain the true difference.",
            f"disjoint: splits that share no run. {control.rejected_independent} of "
            f"{control.n_independent} rejected: false-positive rate {low:.1%} to {high:.1%} "
            f"({confidence:.0%}, Wilson).",
        ],
        out,
    )


def _tasks_footer(audit: Audit) -> list[str]:
    return [
        "over chance: the tuned reference less the chance level; must be shown to be better. "
        "targets: repetitions of the reference that reach easy, reference, stretch (validation); "
        "most must reach the first two.",
        "separated: pairs of ranked methods shown to differ, Benjamini-Hochberg at "
        f"{audit.alpha:.0%}. ceiling: methods within the margin of a perfect score.",
    ]
