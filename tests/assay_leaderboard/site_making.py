"""A small site from made-up records, without the build: views, pages, files."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import assay_leaderboard.site
from assay.cards import Citation, Claim, SubmissionCard
from assay.ruleset import RULESET
from assay_leaderboard.audit.tasks import Audited, audit
from assay_leaderboard.boards import translation
from assay_leaderboard.boards.board import build, groups
from assay_leaderboard.boards.budget_ranking import budget_tables
from assay_leaderboard.boards.task_details import detail
from assay_leaderboard.claims.ledger import evaluate
from assay_leaderboard.site.html.links import SiteMap
from assay_leaderboard.site.pages import (
    BOARD_PAGES,
    compare_scripts,
    family_entries,
    family_page,
    runs_page,
    task_entries,
    task_page,
)
from assay_leaderboard.site.reports import Parity
from assay_leaderboard.site.views import CellView, Landscape, SiteView, TaskView

from tests.assay_leaderboard.making import Records

STATIC = Path(assay_leaderboard.site.__file__).parent / "static"


def demo_cards(methods: Iterable[str]) -> dict[str, SubmissionCard]:
    """Cards of the demo's methods; one claims something."""
    cards = {slug: SubmissionCard(slug=slug, title=slug.title()) for slug in methods}
    claim = Claim(
        text="It is better than plain SGD.", source="Table 1", paper_value="95 against 90",
        metric="accuracy", better_than="reference", tasks=["digits", "letters"],
    )  # fmt: skip
    idle = claim.model_copy(update={"text": "It writes poetry.", "metric": "rhymes"})
    paper = Citation(title="Better", year=2020, identifier="arXiv:2001.00001; 10.1000/xyz")
    own = {"claims": [claim, idle], "paper": paper, "track": "optimizer"}
    return cards | {"better": cards["better"].model_copy(update=own)}


def site_view(
    records: Records,
    cards: Mapping[str, SubmissionCard],
    landscapes: Mapping[str, Landscape] | None = None,
) -> tuple[SiteView, list[TaskView], list[CellView]]:
    """Views as the build makes them."""
    catalogue = records.catalogue
    board = build(records.evidence, catalogue, list(catalogue.tasks), RULESET)
    tasks: list[TaskView] = []
    cell_views: list[CellView] = []
    compared, audited = [], []
    for table in board.tasks:
        known = records.task_evidence(table.task)
        compared.append(known.comparisons())
        made = detail(known, compared[-1])
        reference = compared[-1].reference
        scores = reference.values() if reference and reference.state == "ranked" else None
        audited.append(Audited(known.card, table, made, scores))
        landscape = (landscapes or {}).get(table.task)
        found = audit([audited[-1]], cards, (), None, RULESET).tasks[0]
        uses = {one.method: one.sensitivity.ranges for one in made.details}
        ranges = translation.of_task(known.card, known.cells, uses)
        tasks.append(TaskView(known.card, table, made, landscape, cards, found, ranges=ranges))
        rows = {row.method: row for row in table.rows}
        details = {one.method: one for one in made.details}
        cell_views += [
            CellView(known.card, rows[c.method], details[c.method], known.of(c))
            for c in known.cells
        ]
    slugs = sorted({row.method for t in board.tasks for row in t.rows} | set(cards))
    task_cards = {slug: card for slug, (card, _) in catalogue.tasks.items()}
    summaries = [*board.families, *([board.overall] if board.overall else [])]
    tables = budget_tables([*groups(compared, lambda task: task.card).items()], catalogue)
    view = SiteView(
        board=board,
        budgets=[table for table in tables if table.rows],
        standings={t.card.slug: {d.method: d.budget for d in t.detail.details} for t in tasks},
        ledger=evaluate(compared, cards, task_cards, RULESET, [], records.rules.view),
        translation=translation.assembled(
            [task.ranges for task in tasks if task.ranges and task.ranges.methods],
            RULESET,
            records.rules.view,
        ),
        methods={slug: cards.get(slug) for slug in slugs},
        tasks=task_cards,
        log=[],
        scorecard=None,
        audit=audit(audited, cards, summaries, None, RULESET),
        data={},
        parity=Parity(),
        epochs=[],
        queue=[],
        ruleset=RULESET,
        with_local=False,
        version="0.1.0",
        n_runs=sum(len(cell.runs) for cell in cell_views),
        problems=[],
    )
    return view, tasks, cell_views


def site_map(view: SiteView) -> SiteMap:
    """The pages of a view."""
    return SiteMap(
        frozenset(table.task for table in view.board.tasks),
        frozenset(view.methods),
        view.version,
        view.ruleset.version,
        view.with_local,
        view.board.view == "published",
    )


def board_pages(view: SiteView) -> dict[str, str]:
    """Every page that is not about one task alone."""
    site = site_map(view)
    found = {path: text for draw in BOARD_PAGES for path, text in draw(view, site).items()}
    return found | _family_pages(view, site)


def _family_pages(view: SiteView, site: SiteMap) -> dict[str, str]:
    """Those of all families, and of "overall"."""
    cards = {slug: card for slug, card in view.methods.items() if card}
    found: dict[str, str] = {}
    for summary in filter(None, [*view.board.families, view.board.overall]):
        budgets = [table for table in view.budgets if table.name == summary.name]
        found |= family_page(summary, budgets, view.board.tasks, cards, site)
    return found


def all_pages(view: SiteView, tasks: list[TaskView], cell_views: list[CellView]) -> dict[str, str]:
    """The pages of the board, of its tasks and of their runs."""
    site = site_map(view)
    found = board_pages(view)
    for task in tasks:
        found |= task_page(task, site)
    for cell in cell_views:
        found |= runs_page(cell, site)
    return found


def write(folder: Path, view: SiteView, tasks: list[TaskView], cell_views: list[CellView]) -> None:
    """The pages, and the scripts of the comparison."""
    files = all_pages(view, tasks, cell_views)
    entries = {task.card.slug: task_entries(task.table, task.detail.pairs) for task in tasks}
    summaries = [s for s in (*view.board.families, view.board.overall) if s]
    files |= compare_scripts(view, entries, {s.name: family_entries(s) for s in summaries})
    files |= {f"method/{slug}/source.txt": "" for slug, card in view.methods.items() if card}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shutil.copytree(STATIC, folder / "static")
