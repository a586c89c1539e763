"""The audit of the suite for a terminal."""

from __future__ import annotations

from rich.console import Console

from assay_leaderboard.audit.false_positives import ControlReport, Pairs, Rate
from assay_leaderboard.audit.tasks import Audit, TaskAudit
from assay_leaderboard.audit.tiers import TierAgreement
from assay_leaderboard.format import Format, level_text, plain
from assay_leaderboard.terminal.console import new_table, show_lines


def show_audit(audit: Audit, out: Console) -> None:
    """Print `audit`: the tasks and their problems, the tiers, the A/A control."""
    shown = new_table(
        "task", "tier", "audit", f">over chance [{level_text(audit.confidence)}]", "targets",
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
    show_lines((f"  {t.task}: {line}" for t in audit.tasks for line in _told(t)), out)
    out.print()
    show_lines(_tasks_footer(audit), out)
    if audit.calibration:
        out.print("\nTiers: Kendall's tau of lite and standard scores", style="bold")
        for item in audit.calibration:
            out.print(plain(f"  {item.family}: {_calibration(item)}"))
        out.print(plain(f"  {audit.lite_predicts}"))
    out.print("\nA/A control: methods against themselves, tuned anew", style="bold")
    if audit.control:
        _show_control(audit.control, out)
    else:
        out.print("  not run; next: assay aa")
    show_lines(_anchors(audit), out)


def _told(task: TaskAudit) -> list[str]:
    """What is wrong with a task; of one that has too few results, what to run first."""
    return task.problems[:1] if task.verdict == "not measured" else task.problems


def _over_chance(task: TaskAudit) -> str:
    if task.above_chance is None:
        return "-"
    found = task.above_chance
    return Format(task.unit, 0.005).span(found.difference, found.interval, "+")


def _anchors(audit: Audit) -> list[str]:
    """The anchors that cards lack, ready to be pasted."""
    lacking = [(t.task, t.anchor.paste) for t in audit.tasks if t.anchor and t.anchor.paste]
    lines = [""] if lacking else []
    for task, paste in lacking:
        lines += [f"{task}: no anchor on its card yet; to freeze it, add:", *paste.splitlines()]
    return lines


def _calibration(item: TierAgreement) -> str:
    if item.tau is None:
        return item.note
    spread = f" [{item.interval.low:+.2f}, {item.interval.high:+.2f}]" if item.interval else ""
    return (
        f"{item.tau:+.2f}{spread}, {len(item.methods)} methods, "
        f"{item.n_lite} lite and {item.n_standard} standard task(s)"
    )


def _show_control(control: ControlReport, out: Console) -> None:
    shown = new_table("task", "method", ">n", ">first", ">second", ">difference", ">p", "verdict")
    for cell in control.cells:
        form, found = Format(cell.unit, cell.margin), cell.comparison
        shown.add_row(
            cell.task,
            cell.method,
            str(cell.n),
            form.number(cell.mean),
            form.number(cell.mean_control),
            form.span(found.difference, found.interval, "+"),
            f"{found.p:.4f}",
            found.verdict or "-",
        )
    out.print(shown)
    show_lines(
        [
            _pairs("one pair a task and method", control.pairs, control.alpha),
            _pairs("disjoint halves of each arm", control.halves, control.alpha),
            f"{control.splits.n:,} random splits, which share their repetitions and so check the "
            f"code alone: {control.splits.rejected:.1%} called different, "
            f"{control.splits.covered:.1%} of the intervals hold 0.",
        ],
        out,
    )


def _pairs(name: str, found: Pairs, alpha: float) -> str:
    return (
        f"{name}, {found.n_repetitions} repetitions in each arm: {_rate(found.rejected)} called "
        f"different at p <= {alpha:g} (all are false), {_rate(found.covered)} of the intervals "
        "hold 0."
    )


def _rate(rate: Rate) -> str:
    return f"{rate.count} of {rate.n} ({rate.interval.low:.0%} to {rate.interval.high:.0%})"


def _tasks_footer(audit: Audit) -> list[str]:
    return [
        "over chance: the tuned reference less the chance level; must be shown to be better. "
        "targets: repetitions of the reference that reach easy, reference, stretch; most must "
        "reach the first two.",
        "separated: pairs of ranked methods that are not aliases with the verdict better or worse. "
        "ceiling: methods within the margin of a perfect score.",
    ]
