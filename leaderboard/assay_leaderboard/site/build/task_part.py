"""The part of a site that one task makes: read, computed and drawn.

What the other pages need of it goes back as JSON, which is also what a cache keeps: a part that was
made now and one that was kept are the same to the last digit.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from assay.cards import SubmissionCard, TaskCard
from assay.records.schema import RunRecord, StudyRecord

from assay_leaderboard.boards.board import past, samples, table
from assay_leaderboard.boards.task_comparisons import TaskComparisons, pairs
from assay_leaderboard.boards.task_details import detail as task_detail
from assay_leaderboard.boards.task_records import TaskEvidence, from_folders
from assay_leaderboard.evidence.cells import CellEvidence, Repetitions
from assay_leaderboard.schema.board import TaskTable
from assay_leaderboard.schema.values import Part
from assay_leaderboard.site.build.inputs import Context
from assay_leaderboard.site.build.processes import Workers
from assay_leaderboard.site.exports import bibtex, csv_tables, json_twins
from assay_leaderboard.site.output import OutputFile, write
from assay_leaderboard.site.pages import (
    cell_pages,
    method_lines,
    score_cells,
    task_entries,
    task_pages,
)
from assay_leaderboard.site.views import CellView, Landscape, TaskView

LONG_TABLE = "long"
"""Where the tasks' lines of the long table lie, as CSV and for Arrow, until it is put together; not
part of the site."""
COMPARED = "compared"
"""Likewise what the compare page says of each method on a task: its name, and a line of JSON."""


class TaskPart(Part):
    """What the rest of the site needs to know of a task."""

    tuned: TaskTable
    defaults: TaskTable
    cells: list[CellEvidence]
    """As groups and claims need them (`light`)."""
    trials: dict[str, tuple[list[int], list[float]]]
    """Per method with a budget curve: numbers of the trials in the order of selection, and their
    test scores."""
    lines: dict[str, str]
    """What the page of each method says of it here, as HTML."""
    scores: dict[str, str]
    """What the pages of families say of each method here, as HTML."""
    n_runs: int
    """Of all methods; one that serves as two repetitions counts once."""
    problems: list[str]

    @property
    def empty(self) -> bool:
        """Nothing of what was found could be read."""
        return not self.cells and not self.tuned.withdrawn


def make(
    context: Context, slug: str, root: Path, processes: int = 1
) -> tuple[TaskPart, list[OutputFile]]:
    """Read the records of a task, write its pages and twins below `root`, and say what it found.

    Args:
        context: of all tasks.
        slug: of this one.
        root: where the site is built.
        processes: to work in, where cores would be idle.
    """
    known = from_folders(
        slug, context.shelves, context.catalogue, context.ruleset, context.suspicions
    )
    withdrawn = past(known.card, known.evidence, context.catalogue, context.ruleset)
    contest = known.comparisons()
    both = samples(contest)
    tuned = table(contest, withdrawn, both)
    view = TaskView(
        card=known.card,
        tuned=tuned,
        defaults=table(known.comparisons("defaults"), withdrawn, both),
        detail=task_detail(known, tuned),
        landscape=landscape(context.folders[slug]),
        methods={name: found[0] for name, found in context.catalogue.methods.items()},
    )
    files = []
    with Workers(_Work(context, known, contest, view, root), processes) as workers:
        written = [workers.run(write, {slug: ()}) for write in (_write_task, _write_long)]
        shares = {str(place): (place, processes) for place in range(processes)}
        written.append(workers.run(_write_cells, shares))
        part = _part(view, known, context)
        for _, more in itertools.chain(*written):
            files += more
    return part, files


def _part(view: TaskView, known: TaskEvidence, context: Context) -> TaskPart:
    metrics = claimed(view.card, view.methods.values())
    return TaskPart(
        tuned=view.tuned,
        defaults=view.defaults,
        cells=[light(cell, metrics) for cell in known.cells],
        trials={
            method: (list(trials.numbers), trials.tests.tolist())
            for method, trials in known.all_trials.items()
        },
        lines=method_lines(view.tuned, context.links),
        scores=score_cells(view.tuned, context.links),
        n_runs=sum(len(runs_of(study, known.runs)) for study in known.studies.values()),
        problems=list(known.problems),
    )


@dataclass(frozen=True)
class _Work:
    """What the pages of a task are made from."""

    context: Context
    known: TaskEvidence
    contest: TaskComparisons
    view: TaskView
    root: Path


def _write_task(work: _Work) -> list[OutputFile]:
    """Write what there is of all methods of a task together: half of the work."""
    detail = work.view.detail.model_copy(update={"pairs": pairs(work.contest)})
    view = replace(work.view, detail=detail)
    folder = f"task/{view.card.slug}"
    content = {
        **task_pages(view, work.context.links),
        **dict(json_twins.of_task(view)),
        f"{folder}/cite.bib": bibtex.of_task(view.card),
        f"{COMPARED}/{view.card.slug}.txt": "".join(
            f"{method}\n{entry}\n"
            for method, entry in task_entries(view.tuned, detail.pairs).items()
        ),
    }
    return [write(work.root, path, text) for path, text in content.items()]


def _write_cells(work: _Work, share: int, shares: int) -> list[OutputFile]:
    """Write what there is of each method on a task, of every so many methods."""
    view, known, context = work.view, work.known, work.context
    rows = {row.method: row for row in view.tuned.rows}
    details = {detail.method: detail for detail in view.detail.details}
    files = []
    for cell in known.cells[share::shares]:
        study = known.studies[cell.method]
        runs = runs_of(study, known.runs)
        mlflow = {run.id: context.mlflow[run.id] for run in runs if run.id in context.mlflow}
        row = rows[cell.method]
        own = CellView(view.card, row, details[cell.method], study, runs, mlflow)
        pages = cell_pages(own, context.links)
        files += [write(work.root, path, text) for path, text in pages.items()]
    return files


def _write_long(work: _Work) -> list[OutputFile]:
    """Write what the long table needs of a task."""
    rows = {row.method: row for row in work.view.tuned.rows}
    lines = "".join(
        csv_tables.long_rows(rows[method], study, runs_of(study, work.known.runs))
        for method, study in work.known.studies.items()
    )
    place = f"{LONG_TABLE}/{work.view.card.slug}"
    return [
        write(work.root, f"{place}.csv", lines),
        write(work.root, f"{place}.arrow", csv_tables.typed(lines)),
    ]


def compared(root: Path, slug: str) -> dict[str, str]:
    """What the compare page says of each method on a task, from what `make` left."""
    lines = (root / COMPARED / f"{slug}.txt").read_text(encoding="utf-8").split("\n")
    return dict(zip(lines[:-1:2], lines[1::2], strict=True))


def light(cell: CellEvidence, metrics: Collection[str]) -> CellEvidence:
    """A cell as groups and claims need it.

    Args:
        cell: as read.
        metrics: beside the score, the only ones that stay (`claimed`).
    """
    tuned, defaults = (_with(points, metrics) for points in (cell.tuned, cell.defaults))
    return replace(cell, tuned=tuned, defaults=defaults)


def claimed(task: TaskCard, methods: Iterable[SubmissionCard]) -> set[str]:
    """Metrics beside the score of a task that a claim is about: nothing else needs their values."""
    named = {claim.metric for card in methods for claim in card.claims}
    return named.intersection(task.secondary)


def _with(points: Repetitions, metrics: Collection[str]) -> Repetitions:
    """Repetitions with only these metrics beside the score.

    Which of them have any stays known where it matters: to have none means to have failed.
    """
    kept = {
        number: {name: value for name, value in values.items() if name in metrics}
        for number, values in points.secondary.items()
    }
    return replace(points, secondary=kept if metrics else {})


def runs_of(study: StudyRecord, runs: Mapping[str, RunRecord]) -> list[RunRecord]:
    """Those of a study that have a record: trials, then repetitions, those of the defaults last."""
    trials = (trial.run_id for trial in study.trials)
    ids = dict.fromkeys((*trials, *study.selected_runs, *study.default_runs))
    return [runs[run_id] for run_id in ids if run_id in runs]


def landscape(folder: Path) -> Landscape | None:
    """What a task's landscape.json holds, if there is one."""
    path = folder / "landscape.json"
    return Landscape.model_validate_json(path.read_bytes()) if path.is_file() else None
