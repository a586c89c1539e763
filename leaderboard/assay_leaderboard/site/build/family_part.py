"""The part of a site that several tasks make together: the rankings of a family, or of all."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from assay_leaderboard.boards.budget_ranking import budget_tables
from assay_leaderboard.boards.family_ranking import Field, summarise
from assay_leaderboard.schema.board import BudgetTable, FamilySummary
from assay_leaderboard.schema.values import Part
from assay_leaderboard.site.build.cache import MadePart
from assay_leaderboard.site.build.task_part import TaskResults
from assay_leaderboard.site.output import write
from assay_leaderboard.site.pages import family_entries, family_page
from assay_leaderboard.statistics.result_cache import ResultCache


class FamilyPart(Part):
    """A family of tasks, or "overall"."""

    summary: FamilySummary
    """At the full tuning budget."""
    budgets: list[BudgetTable]
    compared: dict[str, str]
    """Its entries of the compare page (`family_entries`)."""


def make(results: TaskResults, name: str, slugs: Sequence[str], memo: Path | None) -> MadePart:
    """Rank the methods of a family at every tuning budget, and write its page.

    Args:
        results: of all tasks.
        name: of the family.
        slugs: of its tasks.
        memo: where the bootstraps of an earlier build are kept: after one new cell most of them
            are the same.

    Returns:
        A `FamilyPart`, and the files.
    """
    known = ResultCache.load(memo)
    work = results.comparisons(slugs)
    catalogue = results.inputs.catalogue
    summary = summarise(name, work, Field(work, catalogue, results.inputs.ruleset, known))
    part = FamilyPart(
        summary=summary,
        budgets=[table for table in budget_tables([(name, work)], catalogue, known) if table.rows],
        compared=family_entries(summary),
    )
    if memo:
        _save(known, memo)
    cards = {slug: card for slug, (card, _) in catalogue.methods.items()}
    tables = [results.parts[slug].table for slug in slugs]
    pages = family_page(summary, part.budgets, tables, cards, results.inputs.site)
    files = [write(results.root, path, text) for path, text in pages.items()]
    return MadePart(part.model_dump_json(), files)


def _save(known: ResultCache, path: Path) -> None:
    """Keep bootstraps for the next build; do nothing where that is not possible."""
    new = path.with_suffix(".new")
    with contextlib.suppress(OSError):
        new.unlink(missing_ok=True)
        known.save(new)
        new.replace(path)
