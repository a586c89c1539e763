"""The part of a site that one task makes: its records are read, computed and drawn."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from assay.cards import SubmissionCard, TaskCard
from assay.records.schema import RunRecord, StudyRecord

from assay_leaderboard.boards.board import past, samples, table
from assay_leaderboard.boards.task_comparisons import TaskComparisons, pairs
from assay_leaderboard.boards.task_details import detail as task_detail
from assay_leaderboard.boards.task_records import TaskEvidence, from_folders
from assay_leaderboard.evidence.cells import CellEvidence, Repetitions
from assay_leaderboard.schema.board import Basis, TaskTable
from assay_leaderboard.schema.values import Part
from assay_leaderboard.site.build.cache import MadePart
from assay_leaderboard.site.build.inputs import BuildInputs
from assay_leaderboard.site.exports import bibtex, csv_tables, json_twins
from assay_leaderboard.site.output import OutputFile, write
from assay_leaderboard.site.pages import runs_page, task_entries, task_page
from assay_leaderboard.site.views import CellView, Landscape, TaskView


class TaskPart(Part):
    """What the rest of the site needs to know of a task."""

    tuned: TaskTable
    defaults: TaskTable
    cells: list[CellEvidence]
    """What families and claims compare (`without_metrics`)."""
    trials: dict[str, tuple[list[int], list[float]]]
    """Per method with a budget curve: numbers of the trials in the order of selection, and their
    test scores."""
    compared: dict[str, str]
    """Its entries of the compare page (`task_entries`)."""
    run_rows: str
    """Its rows in the table of all runs, as CSV."""
    n_runs: int
    """Of all methods; one that is a repetition of two points counts once."""
    problems: list[str]

    @property
    def empty(self) -> bool:
        """Nothing of what was found could be read."""
        return not self.cells and not self.tuned.withdrawn


@dataclass(frozen=True)
class TaskResults:
    """The parts of all tasks, from which families, claims and the board are made."""

    inputs: BuildInputs
    parts: Mapping[str, TaskPart]
    """By slug: the tasks with something to show."""
    root: Path
    """Where the site is built."""

    def comparisons(self, slugs: Iterable[str], basis: Basis = "tuned") -> list[TaskComparisons]:
        """The comparisons of some of the tasks."""
        cards, ruleset = self.inputs.catalogue.tasks, self.inputs.ruleset
        return [
            TaskComparisons(cards[slug][0], self.parts[slug].cells, basis, ruleset)
            for slug in slugs
        ]


def make(inputs: BuildInputs, slug: str, root: Path) -> MadePart:
    """Read the records of a task and write its pages and data below `root`.

    Returns:
        A `TaskPart`, and the files.
    """
    known = from_folders(slug, inputs.results, inputs.catalogue, inputs.ruleset, inputs.flags)
    withdrawn = past(known.card, known.evidence, inputs.catalogue, inputs.ruleset)
    comparisons = known.comparisons()
    both = samples(comparisons)
    tuned = table(comparisons, withdrawn, both)
    detail = task_detail(known, tuned)
    view = TaskView(
        card=known.card,
        tuned=tuned,
        defaults=table(known.comparisons("defaults"), withdrawn, both),
        detail=detail.model_copy(update={"pairs": pairs(comparisons)}),
        landscape=_landscape(inputs.task_folders[slug]),
        methods={name: found[0] for name, found in inputs.catalogue.methods.items()},
    )
    files = [*_write_task(view, inputs, root), *_write_runs(view, known, inputs, root)]
    return MadePart(_part(view, known).model_dump_json(), files)


def _part(view: TaskView, known: TaskEvidence) -> TaskPart:
    rows = {row.method: row for row in view.tuned.rows}
    metrics = claimed_metrics(view.card, view.methods.values())
    runs = {method: runs_of(study, known.runs) for method, study in known.studies.items()}
    return TaskPart(
        tuned=view.tuned,
        defaults=view.defaults,
        cells=[without_metrics(cell, metrics) for cell in known.cells],
        trials={
            method: (list(trials.numbers), trials.tests.tolist())
            for method, trials in known.all_trials.items()
        },
        compared=task_entries(view.tuned, view.detail.pairs),
        run_rows="".join(
            csv_tables.run_rows(rows[method], study, runs[method])
            for method, study in known.studies.items()
        ),
        n_runs=sum(map(len, runs.values())),
        problems=list(known.problems),
    )


def _write_task(view: TaskView, inputs: BuildInputs, root: Path) -> list[OutputFile]:
    """Write the page of the task and its data."""
    content = {
        **task_page(view, inputs.site),
        **dict(json_twins.of_task(view)),
        f"task/{view.card.slug}/cite.bib": bibtex.of_task(view.card),
    }
    return [write(root, path, text) for path, text in content.items()]


def _write_runs(
    view: TaskView, known: TaskEvidence, inputs: BuildInputs, root: Path
) -> list[OutputFile]:
    """Write the page of the runs of each method."""
    rows = {row.method: row for row in view.tuned.rows}
    details = {detail.method: detail for detail in view.detail.details}
    files = []
    for method, study in known.studies.items():
        runs = runs_of(study, known.runs)
        mlflow = {run.id: inputs.mlflow[run.id] for run in runs if run.id in inputs.mlflow}
        cell = CellView(view.card, rows[method], details[method], study, runs, mlflow)
        files += [write(root, path, text) for path, text in runs_page(cell, inputs.site).items()]
    return files


def without_metrics(cell: CellEvidence, kept: Collection[str]) -> CellEvidence:
    """A cell without its secondary metrics, but for the `kept` ones, to save memory.

    A repetition that has none means that it failed, so an empty dictionary stays for the others.
    """

    def reduced(points: Repetitions) -> Repetitions:
        secondary = {
            number: {name: value for name, value in values.items() if name in kept}
            for number, values in points.secondary.items()
        }
        return replace(points, secondary=secondary if kept else {})

    return replace(cell, tuned=reduced(cell.tuned), defaults=reduced(cell.defaults))


def claimed_metrics(task: TaskCard, methods: Iterable[SubmissionCard]) -> set[str]:
    """The secondary metrics of a task that a claim is about."""
    named = {claim.metric for card in methods for claim in card.claims}
    return named.intersection(task.secondary)


def runs_of(study: StudyRecord, runs: Mapping[str, RunRecord]) -> Sequence[RunRecord]:
    """The recorded runs of a study: trials, then repetitions of the tuned point and the defaults.

    Args:
        study: names the runs.
        runs: by id.
    """
    return [runs[run_id] for run_id in study.run_ids if run_id in runs]


def _landscape(folder: Path) -> Landscape | None:
    """The landscape.json of a task, if there is one."""
    path = folder / "landscape.json"
    return Landscape.model_validate_json(path.read_bytes()) if path.is_file() else None
