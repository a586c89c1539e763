"""A small site from made-up records, without the engine: views, pages, files."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import assay_leaderboard.site
from assay.cards import Citation, Claim, SubmissionCard
from assay.records.schema import RunRecord
from assay.ruleset import RULESET
from assay_leaderboard.boards.board import build
from assay_leaderboard.boards.task_comparisons import TaskComparisons, pairs
from assay_leaderboard.claims.ledger import evaluate
from assay_leaderboard.evidence.cells import Catalogue, Evidence, with_studies
from assay_leaderboard.schema.board import Board, BudgetRow, BudgetTable
from assay_leaderboard.schema.task_details import Cost, Detail, Sensitivity, TaskDetail
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
from assay_leaderboard.site.views import CellView, Landscape, SiteView, TaskView

STATIC = Path(assay_leaderboard.site.__file__).parent / "static"


def detail_of(method: str) -> Detail:
    """A method of which only the cost is known."""
    return Detail(
        method=method,
        curve=[],
        targets=[],
        budget=[],
        sensitivity=Sensitivity(
            n=0, default_gap=0.0, near_best=1.0, lr_decades=None, diverged=0.0, trials=[]
        ),
        cost=Cost(
            example_passes=200, passes=100, examples=200, seconds=1.5, ratio=1.0, peak_bytes=1e8,
            optimizer_state_bytes=5e3,
        ),
        selection=None,
        paths=[],
    )  # fmt: skip


def budget_tables(tuned: Board, defaults: Board) -> list[BudgetTable]:
    """The ends of the slider, and one position between them."""
    found = []
    for board, k, basis in ((defaults, 0, "defaults"), (tuned, 4, "trials"), (tuned, 12, "tuned")):
        for summary in [*board.families, *([board.overall] if board.overall else [])]:
            rows = [
                BudgetRow(method=r.method, score=r.iqm, interval=r.iqm_interval, rank=r.rank)
                for r in summary.rows
                if r.rank and r.iqm is not None
            ]
            found.append(BudgetTable(name=summary.name, k=k, basis=basis, rows=rows))
    return found


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
    evidence: Evidence,
    catalogue: Catalogue,
    cards: Mapping[str, SubmissionCard],
    runs: Mapping[str, RunRecord],
    landscapes: Mapping[str, Landscape] | None = None,
) -> tuple[SiteView, list[TaskView], list[CellView]]:
    """Views as the engine makes them."""
    tuned, defaults = (
        build(evidence, catalogue, list(catalogue.tasks), RULESET, basis)
        for basis in ("tuned", "defaults")
    )
    tasks, cell_views, details, contests = [], [], {}, []
    for table, untuned in zip(tuned.tasks, defaults.tasks, strict=True):
        card = catalogue.tasks[table.task][0]
        found, _ = with_studies(card, evidence, catalogue, RULESET)
        contest = TaskComparisons(card, [cell for cell, _ in found], "tuned", RULESET)
        contests.append(contest)
        made = TaskDetail(
            task=table.task,
            details=[detail_of(row.method) for row in table.rows],
            pairs=pairs(contest),
            ecdf={},
        )
        details[table.task] = made
        landscape = (landscapes or {}).get(table.task)
        tasks.append(TaskView(card, table, untuned, made, landscape, cards))
        studies = {cell.method: study for cell, study in found}
        for row in table.rows:
            study = studies[row.method]
            wanted = [t.run_id for t in study.trials]
            wanted += [*study.selected_runs, *study.default_runs]
            own = [runs[i] for i in dict.fromkeys(wanted) if i in runs]
            cell_views.append(CellView(card, row, detail_of(row.method), study, own))
    slugs = sorted({row.method for t in tuned.tasks for row in t.rows} | set(cards))
    methods = {slug: cards.get(slug) for slug in slugs}
    task_cards = {slug: card for slug, (card, _) in catalogue.tasks.items()}
    ledger = evaluate(contests, cards, task_cards, RULESET, [])
    view = SiteView(
        board=tuned, defaults=defaults, budgets=budget_tables(tuned, defaults),
        ledger=ledger, methods=methods,
        tasks=task_cards, log=[],
        scorecard=None, controls=None, queue=[], ruleset=RULESET, with_local=False,
        version="0.1.0", n_runs=sum(len(cell.runs) for cell in cell_views), problems=[],
    )  # fmt: skip
    return view, tasks, cell_views


def site_map(view: SiteView) -> SiteMap:
    """The pages of a view."""
    return SiteMap(
        frozenset(table.task for table in view.board.tasks),
        frozenset(view.methods),
        view.version,
        view.ruleset.version,
        view.with_local,
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


def write(folder: Path, view: SiteView, tasks: list[TaskView], cell_views: list[CellView]) -> None:
    """The pages, and the scripts of the comparison."""
    site = site_map(view)
    files = board_pages(view)
    for task in tasks:
        files |= task_page(task, site)
    for cell in cell_views:
        files |= runs_page(cell, site)
    entries = {task.card.slug: task_entries(task.tuned, task.detail.pairs) for task in tasks}
    summaries = [s for s in (*view.board.families, view.board.overall) if s]
    files |= compare_scripts(view, entries, {s.name: family_entries(s) for s in summaries})
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shutil.copytree(STATIC, folder / "static")
