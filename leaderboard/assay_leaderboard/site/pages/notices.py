"""Sentences at the top of a page about what is not ranked, and why."""

from __future__ import annotations

from collections.abc import Iterable

from assay_leaderboard.format import seeds_text
from assay_leaderboard.schema.board import State, TaskTable


def notices(tables: Iterable[TaskTable]) -> list[str]:
    """What of these tables is not ranked; empty if there is nothing to say."""
    tables = list(tables)
    kinds = (_not_replayed, _unsealed, _hidden, _former, _stale, _preliminary)
    return [text for kind in kinds if (text := kind(tables))]


def _in_state(tables: list[TaskTable], state: State) -> int:
    return sum(row.state == state for table in tables for row in table.rows)


def _not_replayed(tables: list[TaskTable]) -> str:
    n = _in_state(tables, "not replayed")
    if not n:
        return ""
    return (
        f"Verified, not replayed yet: {n:,}. A valid bundle can be written without a single run, "
        "so these results are shown with their numbers, and take no rank, are compared with "
        "nothing and support no claim until others have repeated a sample of their runs (T2)."
    )


def _unsealed(tables: list[TaskTable]) -> str:
    n = _in_state(tables, "unsealed")
    if not n:
        return ""
    return (
        f"Unsealed results: {n:,}, made on a GPU or in no sandbox, where a method can reach the "
        "data that it is scored on. They are shown and never rank."
    )


def _hidden(tables: list[TaskTable]) -> str:
    stood = [table for table in tables if table.seeds.epoch]
    if not stood:
        return ""
    seeds = sorted({seeds_text(table.seeds) for table in stood})
    where = "Here" if len(tables) == 1 else f"On {len(stood)} of {len(tables)} tasks"
    n = _in_state(stood, "other seeds")
    waiting = (
        f"; {n:,} result{' has' if n == 1 else 's have'} other seeds alone, public ones or those "
        f"of another epoch, {'is' if n == 1 else 'are'} shown there and "
        f"{'does' if n == 1 else 'do'} not rank"
        if n
        else ""
    )
    return (
        f"{where} ranks and verdicts stand on the {'; '.join(seeds)}, because methods are compared "
        "under equal seeds only, and hidden seeds, unlike public ones, cannot be fitted in "
        f"advance{waiting}."
    )


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
        f"Stale results: {some}. The code of their task or method, or a library that it imports, "
        "has changed since they were made. They are still shown on the pages of tasks and methods, "
        "but take no rank and support no claim until they are repeated with: assay run METHOD"
    )


def _preliminary(tables: list[TaskTable]) -> str:
    n = _in_state(tables, "preliminary")
    if not n:
        return ""
    return (
        f"Preliminary results: {n:,}, made with fewer repetitions or points than the full protocol "
        "(--quick). They have differences with intervals, but no rank and no verdict."
    )
