"""The part of a site that several tasks make together: the rankings of a family, or of all."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from assay_leaderboard.boards.board import assembled
from assay_leaderboard.boards.budget_ranking import budget_tables
from assay_leaderboard.boards.family_ranking import summarise
from assay_leaderboard.schema.board import Basis, Board, BudgetTable, FamilySummary
from assay_leaderboard.schema.values import Part
from assay_leaderboard.site.build.cache import MadePart
from assay_leaderboard.site.build.task_part import TaskResults
from assay_leaderboard.site.output import write
from assay_leaderboard.site.pages import family_entries, family_page
from assay_leaderboard.statistics.result_cache import ResultCache
from assay_leaderboard.statistics.tuning_budgets import Trials


class FamilyPart(Part):
    """A family of tasks, or "overall"."""

    tuned: FamilySummary
    defaults: FamilySummary
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
            are the same. At 210,000 runs this saves 12 of 17 CPU seconds.

    Returns:
        A `FamilyPart`, and the files.
    """
    ruleset, known = results.inputs.ruleset, ResultCache.load(memo)
    tables = [results.parts[slug].tuned for slug in slugs]

    def board(basis: Basis) -> Board:
        summary = summarise(name, results.comparisons(slugs, basis), known)
        return assembled(tables, [summary], [], ruleset, basis)

    tuned, defaults = board("tuned"), board("defaults")
    trials = {
        slug: {
            method: Trials(tuple(numbers), np.array(tests))
            for method, (numbers, tests) in results.parts[slug].trials.items()
        }
        for slug in slugs
    }
    summary = _only_summary(tuned)
    part = FamilyPart(
        tuned=summary,
        defaults=_only_summary(defaults),
        budgets=budget_tables(tuned, defaults, trials, ruleset, known),
        compared=family_entries(summary),
    )
    if memo:
        _save(known, memo)
    cards = {slug: card for slug, (card, _) in results.inputs.catalogue.methods.items()}
    pages = family_page(summary, part.budgets, tables, cards, results.inputs.site)
    files = [write(results.root, path, text) for path, text in pages.items()]
    return MadePart(part.model_dump_json(), files)


def _only_summary(board: Board) -> FamilySummary:
    return board.overall or board.families[0]


def _save(known: ResultCache, path: Path) -> None:
    """Keep bootstraps for the next build; do nothing where that is not possible."""
    new = path.with_suffix(".new")
    with contextlib.suppress(OSError):
        new.unlink(missing_ok=True)
        known.save(new)
        new.replace(path)
