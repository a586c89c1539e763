"""Views to pages: {file: HTML}. Nothing is computed here, and nothing is read or written."""

from __future__ import annotations

from assay_leaderboard.site.html.links import Links
from assay_leaderboard.site.pages.about import about_pages
from assay_leaderboard.site.pages.claims import claim_pages
from assay_leaderboard.site.pages.compare import (
    compare_data,
    compare_page,
    family_entries,
    task_entries,
)
from assay_leaderboard.site.pages.family import FamilyScores, family_page, score_cells
from assay_leaderboard.site.pages.home import home, indexes
from assay_leaderboard.site.pages.method import method_lines, method_pages
from assay_leaderboard.site.pages.runs import cell_pages
from assay_leaderboard.site.pages.task import task_pages

__all__ = [
    "BOARD_PAGES",
    "FamilyScores",
    "Links",
    "cell_pages",
    "compare_data",
    "family_entries",
    "family_page",
    "method_lines",
    "score_cells",
    "task_entries",
    "task_pages",
]


BOARD_PAGES = (
    method_pages,
    about_pages,
    claim_pages,
    home,
    indexes,
    compare_page,
)
"""Every page that is not about one task alone, by what draws it; the longest work first."""
