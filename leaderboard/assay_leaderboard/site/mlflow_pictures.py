"""The pictures of a method on a task as files, for MLflow."""

from __future__ import annotations

from assay.plugins import registry
from assay.records.schema import RunRecord
from assay.records.store import Store
from assay.ruleset import RULESET

from assay_leaderboard.boards.board import table
from assay_leaderboard.boards.task_details import detail
from assay_leaderboard.boards.task_records import from_records
from assay_leaderboard.evidence.results_folder import TaskRecords
from assay_leaderboard.evidence.runs import Catalogue
from assay_leaderboard.site.pages import figures
from assay_leaderboard.site.pictures import standalone
from assay_leaderboard.site.views import CellView


def draw(store: Store, record: RunRecord) -> dict[str, str]:
    """The pictures of the cell of `record`: SVG by file name (entry-point group assay.pictures).

    Nothing for a task that is not in this checkout or has changed since.
    """
    task, method = record.spec.task.slug, record.spec.method.slug
    entry = registry.task_entries().get(task)
    if entry is None or registry.task_ref(entry) != record.spec.task:
        return {}
    runs = [run for run in store.runs([], task, method) if run.spec.method == record.spec.method]
    catalogue = Catalogue(tasks={task: (entry.card, record.spec.task)}, methods={})
    known = from_records(task, [TaskRecords.of(runs)], catalogue, RULESET)
    if not known.cells:
        return {}
    comparisons = known.comparisons()
    (row,), (details,) = table(comparisons).rows, detail(known, comparisons).details
    view = CellView(known.card, row, details, known.of(known.cells[0]))
    return {f"{name}.svg": standalone(drawn) for name, drawn in figures.of_cell(view).items()}
