"""Views to pages: each function returns {file: HTML} and neither computes, reads nor writes.

A file a page: `home`, `family`, `task` (with `task_tables`), `task_index`, `method`, `compare`,
`claims`, `translation`, `runs`, `about` (rules, sandbox, log, queue; with `audit`).
`recommendation`, `notices`, `figures` and `cells` serve several pages.
"""

from __future__ import annotations

from assay_leaderboard.site.pages.about import about_pages
from assay_leaderboard.site.pages.claims import claims_page
from assay_leaderboard.site.pages.compare import (
    compare_page,
    compare_scripts,
    family_entries,
    task_entries,
)
from assay_leaderboard.site.pages.family import family_page
from assay_leaderboard.site.pages.home import home_page
from assay_leaderboard.site.pages.method import method_index_page, method_pages
from assay_leaderboard.site.pages.runs import runs_page
from assay_leaderboard.site.pages.task import task_page
from assay_leaderboard.site.pages.task_index import task_index_page
from assay_leaderboard.site.pages.translation import translation_page

__all__ = [
    "BOARD_PAGES",
    "compare_scripts",
    "family_entries",
    "family_page",
    "runs_page",
    "task_entries",
    "task_page",
]

BOARD_PAGES = (
    method_pages,
    about_pages,
    claims_page,
    home_page,
    task_index_page,
    method_index_page,
    compare_page,
    translation_page,
)
"""What draws the pages beyond single tasks and families, the longest work first."""
