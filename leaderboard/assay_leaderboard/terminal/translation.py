"""Best learning rates, and ranges whose ends win, for a terminal."""

from __future__ import annotations

from rich.console import Console

from assay_leaderboard.format import COARSE, NONE, OTHER_DRAWS, plain, two_digits, view_text
from assay_leaderboard.schema.translation import MethodRanges, TaskRanges, Translation
from assay_leaderboard.terminal.console import new_table, show_lines


def show_translation(found: Translation, out: Console) -> None:
    """Print a table for each task, then the ranges whose ends win too often."""
    for task in found.tasks:
        _show_task(task, out)
    _show_flagged(found, out)
    show_lines(_footer(found), out)


def _show_task(task: TaskRanges, out: Console) -> None:
    out.print(plain(f"{task.task}, against {task.reference}"), style="bold")
    table = new_table(
        "method", ">learning rate", ">quartiles", ">times", ">default", ">n", "near an end, %"
    )
    for row in task.methods:
        table.add_row(plain(row.method), *_rate(row), plain(_ends(row)))
    out.print(table)
    out.print()


def _rate(row: MethodRanges) -> list[str]:
    """The best learning rate, its quartiles, the ratio to the reference's, the default, and n."""
    if row.lr is None:
        return [NONE] * 4 + [str(max(use.n for use in row.ranges.values()))]
    best = row.ranges[row.lr]
    return [
        two_digits(best.median),
        f"{two_digits(best.lower_quartile)} to {two_digits(best.upper_quartile)}",
        NONE if row.ratio is None else two_digits(row.ratio),
        two_digits(best.default),
        str(best.n),
    ]


def _ends(row: MethodRanges) -> str:
    """The share of each hyperparameter whose selected points lie near an end, and chance's."""
    return ", ".join(
        f"{name} {100 * use.at_edge:.0f} ({100 * use.by_chance:.0f})" + "!" * use.flagged
        for name, use in row.ranges.items()
    )


def _show_flagged(found: Translation, out: Console) -> None:
    flagged = [row for row in found.pooled if row.flagged]
    if not flagged:
        return
    out.print("Ranges whose ends win too often, over all tasks that share them", style="bold")
    table = new_table("method", "range", ">tasks", ">n", ">low end", ">high end", ">by chance")
    for row in flagged:
        scale = " log" if row.log else ""
        table.add_row(
            plain(row.method),
            plain(f"{row.hyperparameter} {row.low:.3g} to {row.high:.3g}{scale}"),
            str(len(row.tasks)),
            str(row.n),
            f"{100 * row.at_low / row.n:.0f} %",
            f"{100 * row.at_high / row.n:.0f} %",
            f"{100 * row.by_chance:.0f} %",
        )
    out.print(table)
    out.print()


def _footer(found: Translation) -> list[str]:
    return [
        "learning rate: median over n repetitions of that of the selected point; times: over the "
        f"reference's median. {COARSE}",
        f"near an end: share of the repetitions whose selected point lies in the outer "
        f"{100 * found.outer:.0f} % of its range, on either side; in brackets the share if chance "
        f"selected among the points drawn. !: beyond chance by more than "
        f"{100 * found.limit:.0f} % of the repetitions, so the range may be too narrow: "
        f"{found.n_flagged} of {found.n_ranges} here, where chance alone would give "
        f"{found.n_by_chance:.1f}. {OTHER_DRAWS}",
        view_text(found.view),
    ]
