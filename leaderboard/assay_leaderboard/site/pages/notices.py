"""Sentences at the top of a page about what is not ranked, and why."""

from __future__ import annotations

from collections.abc import Iterable

from assay_leaderboard.schema.board import TaskTable


def notices(tables: Iterable[TaskTable]) -> list[str]:
    """What of these tables is not ranked; empty if there is nothing to say."""
    tables = list(tables)
    return [text for text in (_former(tables), _stale(tables), _preliminary(tables)) if text]


def _former(tables: list[TaskTable]) -> str:
    found = [item for table in tables for item in table.former]
    if not found:
        return ""
    rulesets = ", ".join(str(number) for number in sorted({item.ruleset for item in found}))
    return (
        f"Results of ruleset {rulesets}, kept for reference: {len(found):,}, listed apart on the "
        "pages of tasks and methods. They are compared with nothing, ranked nowhere and support no "
        "claim."
    )


def _stale(tables: list[TaskTable]) -> str:
    rows = [row for table in tables for row in table.rows]
    n = sum(row.state == "stale" for row in rows)
    if not n:
        return ""
    some = f"All {n:,}" if n == len(rows) else f"{n:,} of {len(rows):,}"
    return (
        f"Stale results: {some}. The code of their task or method has changed since they were "
        "made. They are still shown on the pages of tasks and methods, but they are not ranked and "
        "support no claim until they are repeated with: assay run METHOD"
    )


def _preliminary(tables: list[TaskTable]) -> str:
    n = sum(row.state == "preliminary" for table in tables for row in table.rows)
    if not n:
        return ""
    return (
        f"Preliminary results: {n:,}, made with fewer repetitions or points than the full protocol "
        "(--quick). They have differences with intervals, but no rank and no verdict."
    )
