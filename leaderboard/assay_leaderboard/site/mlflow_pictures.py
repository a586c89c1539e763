"""The pictures of a method on a task as files, for MLflow."""

from __future__ import annotations

from assay.plugins import registry
from assay.records.schema import StudyRecord
from assay.records.store import Store
from assay.ruleset import RULESET

from assay_leaderboard.boards.board import table
from assay_leaderboard.boards.task_details import detail
from assay_leaderboard.boards.task_records import from_records
from assay_leaderboard.evidence.cells import Catalogue
from assay_leaderboard.evidence.results_folder import TaskRecords
from assay_leaderboard.site.build.task_part import runs_of
from assay_leaderboard.site.pages import figures
from assay_leaderboard.site.pictures import standalone
from assay_leaderboard.site.views import CellView


def draw(store: Store, study: StudyRecord) -> dict[str, str]:
    """SVG by file name (entry-point group assay.pictures).

    Nothing for a task that is not in this checkout or has changed since.

    Raises:
        RecordError: a record of the study cannot be read.
    """
    task, method = study.task.slug, study.method.slug
    entry = registry.task_entries().get(task)
    if entry is None or registry.task_ref(entry) != study.task:
        return {}
    found = {run_id: store.run(task, method, run_id) for run_id in sorted(study.run_ids)}
    runs = {run_id: run for run_id, run in found.items() if run is not None}
    catalogue = Catalogue(tasks={task: (entry.card, study.task)}, methods={})
    known = from_records(task, [TaskRecords.of([study], runs)], catalogue, RULESET)
    shown = table(known.comparisons(), [])
    (row,), (details,) = shown.rows, detail(known, shown).details
    view = CellView(known.card, row, details, study, runs_of(study, known.runs))
    return {f"{name}.svg": standalone(drawn) for name, drawn in figures.of_cell(view).items()}
