"""The first page: which method to use, by kind of task and tuning budget."""

from __future__ import annotations

from assay_leaderboard.site.html.links import SiteMap
from assay_leaderboard.site.html.templates import page
from assay_leaderboard.site.pages import recommendation
from assay_leaderboard.site.views import SiteView


def home_page(view: SiteView, site: SiteMap) -> dict[str, str]:
    """/index.html."""
    answers = recommendation.by_budget(view)
    rows = [row for table in view.board.tasks for row in table.rows]
    return page(
        site,
        "",
        "home.html",
        answers=answers,
        largest=max(answers, default=0),
        basis=recommendation.basis_text,
        stale=recommendation.stale_note(view.board.tasks),
        n_methods=len({row.method for row in rows}),
        n_tasks=len(view.board.tasks),
        n_runs=view.n_runs,
        counts=view.ledger.counts,
        ruleset=view.ruleset,
    )
