"""The part of a site that one task makes: its records are read, computed and drawn."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from assay.cards import SubmissionCard, TaskCard
from assay.records import diagnosis
from assay.records.log import Standing, cell_of
from assay.records.schema import RunRecord
from assay.records.solutions import Solutions, compared
from assay.records.staleness import stale

from assay_leaderboard.audit.tasks import Audited, TaskAudit, audit
from assay_leaderboard.boards import translation
from assay_leaderboard.boards.board import former, past, table
from assay_leaderboard.boards.task_comparisons import TaskComparisons
from assay_leaderboard.boards.task_details import detail as task_detail
from assay_leaderboard.boards.task_records import TaskEvidence, from_folders
from assay_leaderboard.evidence.cells import CellEvidence
from assay_leaderboard.schema.board import TaskTable
from assay_leaderboard.schema.task_details import BudgetPoint
from assay_leaderboard.schema.translation import TaskRanges
from assay_leaderboard.schema.values import Floats, Part, Problems
from assay_leaderboard.site.build.cache import MadePart
from assay_leaderboard.site.build.inputs import BuildInputs
from assay_leaderboard.site.exports import bibtex, csv_tables, json_twins
from assay_leaderboard.site.html.links import DATA
from assay_leaderboard.site.output import OutputFile, write
from assay_leaderboard.site.pages import runs_page, task_entries, task_page
from assay_leaderboard.site.views import CellView, Landscape, Published, TaskView


class TaskPart(Part):
    """What the rest of the site needs to know of a task."""

    table: TaskTable
    standings: dict[str, list[BudgetPoint]]
    """By method, at every tuning budget."""
    cells: list[CellEvidence]
    """What families and claims compare (`without_metrics`)."""
    audit: TaskAudit
    compared: dict[str, str]
    """Its entries of the compare page (`task_entries`)."""
    ranges: TaskRanges
    """Best learning rates, and how often the ends of ranges win."""
    run_rows: str
    """Its rows in the table of all runs, as CSV."""
    n_runs: int
    """Of all methods."""
    problems: Problems

    @property
    def empty(self) -> bool:
        """Nothing of what was found could be read."""
        return not (self.cells or self.table.withdrawn or self.table.former)


@dataclass(frozen=True)
class TaskResults:
    """The parts of all tasks, from which families, claims and the board are made."""

    inputs: BuildInputs
    parts: Mapping[str, TaskPart]
    """By slug: the tasks with something to show."""
    root: Path
    """Where the site is built."""

    def comparisons(self, slugs: Iterable[str]) -> list[TaskComparisons]:
        """The comparisons of some of the tasks, at the full tuning budget."""
        cards, ruleset = self.inputs.catalogue.tasks, self.inputs.ruleset
        return [TaskComparisons(cards[slug][0], self.parts[slug].cells, ruleset) for slug in slugs]


def make(inputs: BuildInputs, slug: str, root: Path) -> MadePart:
    """Read the records of a task and write its pages and data below `root`.

    Returns:
        A `TaskPart`, and the files.
    """
    known = from_folders(
        slug, inputs.results, inputs.catalogue, inputs.ruleset, inputs.flags, inputs.rules
    )
    withdrawn = past(known.card, known.evidence, inputs.catalogue, inputs.ruleset)
    comparisons = known.comparisons()
    earlier, revealed = former(known.card, known.evidence), inputs.rules.revealed
    made = table(comparisons, withdrawn, earlier, revealed)
    detail = task_detail(known, comparisons)
    methods = {name: found[0] for name, found in inputs.catalogue.methods.items()}
    audited = Audited(known.card, made, detail, _reference(comparisons))
    (found,) = audit([audited], methods, (), None, inputs.ruleset).tasks
    landscape, problems = _landscape(inputs.task_folders[slug]), list(known.problems)
    solutions = compared_networks(known.card, inputs, problems)
    ranges = translation.of_task(
        known.card, known.cells, {one.method: one.sensitivity.ranges for one in detail.details}
    )
    view = TaskView(
        known.card, made, detail, landscape, methods, found, solutions=solutions, ranges=ranges
    )
    files = [*_write_task(view, inputs, root), *_write_runs(view, known, inputs, root)]
    return MadePart(_part(view, found, ranges, known, problems).model_dump_json(), files)


def compared_networks(card: TaskCard, inputs: BuildInputs, problems: list[str]) -> Solutions | None:
    """The diagnoses of runs of code that is still the same, compared."""
    _, task = inputs.catalogue.tasks[card.slug]
    methods = {slug: ref for slug, (_, ref) in inputs.catalogue.methods.items()}
    found = (
        made
        for results in inputs.results
        for made in diagnosis.of_task(results.folder, card.slug, problems)
        if not stale(made.spec, task, methods.get(made.spec.method.slug))
    )
    return compared(found, card.metric)


def _reference(comparisons: TaskComparisons) -> Floats | None:
    """(R,) scores of the reference; None unless its cell is complete."""
    found = comparisons.reference
    return found.values() if found and found.state == "ranked" else None


def _part(
    view: TaskView,
    audited: TaskAudit,
    ranges: TaskRanges,
    known: TaskEvidence,
    problems: list[str],
) -> TaskPart:
    metrics = claimed_metrics(view.card, view.methods.values())
    published = known.evidence.tiers
    return TaskPart(
        table=view.table,
        standings={detail.method: detail.budget for detail in view.detail.details},
        cells=[without_metrics(cell, metrics) for cell in known.cells],
        audit=audited,
        compared=task_entries(view.table, view.detail.pairs),
        ranges=ranges,
        run_rows="".join(
            csv_tables.run_rows(cell, known.of(cell), published) for cell in known.cells
        ),
        n_runs=sum(len(known.of(cell)) for cell in known.cells),
        problems=problems,
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
    """Write the page of the runs of each method, its bundle, and its local records."""
    rows = {row.method: row for row in view.table.rows}
    details = {detail.method: detail for detail in view.detail.details}
    files = []
    for cell in known.cells:
        runs = known.of(cell)
        bundle = _bundle(view.card.slug, cell, known, inputs)
        made = CellView(
            card=view.card,
            row=rows[cell.method],
            detail=details[cell.method],
            runs=runs,
            published=bundle[0] if bundle else None,
            has_raw=cell.n_local > 0,
            has_source=runs[0].spec.method.code in inputs.flags.sources,
            mlflow={run.id: inputs.mlflow[run.id] for run in runs if run.id in inputs.mlflow},
        )
        content: dict[str, str | bytes] = {**runs_page(made, inputs.site)}
        if bundle:
            content[f"{DATA}/bundles/{bundle[0].file}"] = bundle[1].read_bytes()
        if made.has_raw:
            content[f"{DATA}/runs/{view.card.slug}/{cell.method}.jsonl"] = _raw(runs, known)
        files += [write(root, path, text) for path, text in content.items()]
    return files


def _raw(runs: Sequence[RunRecord], known: TaskEvidence) -> str:
    """The records that are not in a bundle, as JSON, one a line."""
    local = (run for run in runs if run.id not in known.evidence.tiers)
    lines = (json.dumps(run.model_dump(mode="json"), allow_nan=False) for run in local)
    return "".join(f"{line}\n" for line in lines)


def _bundle(
    task: str, cell: CellEvidence, known: TaskEvidence, inputs: BuildInputs
) -> tuple[Published, Path] | None:
    """The current bundle of a cell and its path; None where all its runs are local.

    The log page is that of the first folder, so a bundle of another one has no entry there.
    """
    tiers = known.evidence.tiers
    ids = frozenset(run for row in cell.runs for run in row if run is not None and run in tiers)
    first = inputs.results[0]
    for standing in _current(first.standings.get(task, ()), cell) if ids else ():
        entry = next((e.n for e in first.log if e.sha256 == standing.sha256), None)
        if entry is not None:
            made = Published(standing.file, entry, ids, standing.replays)
            return made, first.folder / standing.file
    return None


def _current(standings: Iterable[Standing], cell: CellEvidence) -> Iterator[Standing]:
    """The current bundles of a method with the seeds of its cell."""
    for standing in standings:
        own = cell_of(standing.file)[1] == cell.method and standing.epoch == cell.epoch
        if own and standing.state == "current":
            yield standing


def without_metrics(cell: CellEvidence, kept: Collection[str]) -> CellEvidence:
    """A cell with only the `kept` secondary metrics, to save memory."""
    secondary = {name: grid for name, grid in cell.secondary.items() if name in kept}
    return replace(cell, secondary=secondary)


def claimed_metrics(task: TaskCard, methods: Iterable[SubmissionCard]) -> set[str]:
    """The secondary metrics of a task that a claim is about."""
    named = {claim.metric for card in methods for claim in card.claims}
    return named.intersection(task.secondary)


def _landscape(folder: Path) -> Landscape | None:
    """The landscape.json of a task, if there is one."""
    path = folder / "landscape.json"
    return Landscape.model_validate_json(path.read_bytes()) if path.is_file() else None
