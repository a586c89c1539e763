"""A folder of results to evidence: the bundles that its log names, and single records beside them.

Nothing of a bundle is extracted or run. Whole records are large, so they are read task by task.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assay.detectors import Flag
from assay.errors import BundleError, RecordError
from assay.records import log as publog
from assay.records.bundle import read_bundle
from assay.records.log import Entry, Standing, TrustTier
from assay.records.schema import RunRecord, StudyRecord
from assay.records.store import Store

from assay_leaderboard.evidence.cells import Evidence, Past, Run
from assay_leaderboard.evidence.flags import FlagFinder


@dataclass(frozen=True)
class ResultsFolder:
    """A folder of results, its log read."""

    folder: Path
    standings: Mapping[str, Sequence[Standing]]
    """What the log says of the bundles, by task."""
    log: Sequence[Entry] = ()
    """The log itself, oldest first."""

    @property
    def tasks(self) -> set[str]:
        """Tasks of which there are results."""
        return {*self.standings, *Store(self.folder).tasks()}


@dataclass(frozen=True)
class TaskRecords:
    """What a folder says of one task, in whole records."""

    studies: Sequence[StudyRecord]
    runs: Mapping[str, RunRecord]
    """By id."""
    problems: Sequence[str] = ()
    """What could not be read, one line each."""
    flags: Mapping[str, Sequence[Flag]] = field(default_factory=dict)
    """See Evidence, as for what follows."""
    tiers: Mapping[str, TrustTier] = field(default_factory=dict)
    past: Sequence[Past] = ()

    @property
    def evidence(self) -> Evidence:
        """What statistics need of it."""
        return self.evidence_of(self.runs)

    def evidence_of(self, named: Collection[str]) -> Evidence:
        """The same with no runs but those `named` by id; statistics need no tuning runs."""
        return Evidence(
            studies=self.studies,
            runs=_parts(run for run_id, run in self.runs.items() if run_id in named),
            problems=sorted(set(self.problems)),
            flags=self.flags,
            tiers=self.tiers,
            past=self.past,
        )


def open_shelf(folder: Path) -> ResultsFolder:
    """Read the log of a folder of results; there need not be one.

    Raises:
        LogError: its chain is broken, so that nothing in the folder can be believed.
    """
    by_task: dict[str, list[Standing]] = {}
    log, standings = publog.read_with_standings(folder)
    for standing in standings.values():
        by_task.setdefault(standing.file.split("--")[0], []).append(standing)
    return ResultsFolder(folder, by_task, log)


def unread(shelf: ResultsFolder, known: Collection[str]) -> list[str]:
    """What lies in a folder and belongs to no task that is `known`, or to no entry of the log."""
    named = {standing.file for standings in shelf.standings.values() for standing in standings}
    nameless = {path.name for path in shelf.folder.glob("*.zip")} - named
    problems = [f"{name}: no entry of the log names it" for name in sorted(nameless)]
    store = Store(shelf.folder)
    for task in sorted(shelf.tasks - set(known)):
        n_bundles = len(shelf.standings.get(task, ()))
        n_studies = sum(1 for _ in store.studies(problems, task))
        for n, what in ((n_bundles, "bundles"), (n_studies, "studies")):
            if n:
                problems.append(f"task {task} is not known here: {n} {what} not shown")
    return problems


def read_task(
    shelf: ResultsFolder, task: str, suspicions: FlagFinder | None = None, *, trials: bool = False
) -> list[TaskRecords]:
    """What a folder says of a task: its bundles, then the records beside them.

    Args:
        shelf: the folder.
        task: slug of a known task.
        suspicions: look for what is odd in the results.
        trials: read the tuning runs of records beside the bundles too; bundles hold them anyway.
    """
    return [
        _from_bundles(shelf.folder, shelf.standings.get(task, ()), suspicions),
        _from_store(Store(shelf.folder), task, suspicions, trials),
    ]


def load_folder(
    folder: Path,
    tasks: Collection[str],
    known: Collection[str],
    suspicions: FlagFinder | None = None,
) -> Evidence:
    """What a folder says of `tasks`.

    What cannot be read, or is of no task that is `known`, is a problem.

    Raises:
        LogError: see open_shelf.
    """
    shelf = open_shelf(folder)
    found = Evidence([], {}, sorted(unread(shelf, known)))
    for task in sorted(shelf.tasks & set(tasks)):
        for records in read_task(shelf, task, suspicions):
            found = together(found, records.evidence)
    return found


def together(first: Evidence, second: Evidence) -> Evidence:
    """Both; where they speak of the same study or run, what `first` says counts."""
    seen = {study.id for study in first.studies}
    return Evidence(
        studies=[*first.studies, *(study for study in second.studies if study.id not in seen)],
        runs={**second.runs, **first.runs},
        problems=sorted({*first.problems, *second.problems}),
        tiers={**second.tiers, **first.tiers},
        past=[*first.past, *second.past],
        flags={**second.flags, **first.flags},
    )


def _from_bundles(
    folder: Path, standings: Sequence[Standing], suspicions: FlagFinder | None
) -> TaskRecords:
    """The bundles of one task."""
    problems: list[str] = []
    studies: list[StudyRecord] = []
    runs: dict[str, RunRecord] = {}
    tiers: dict[str, TrustTier] = {}
    past: list[Past] = []
    for standing in standings:
        try:
            bundle = read_bundle(folder / standing.file)
        except BundleError as error:
            problems.append(str(error))
            continue
        if bundle.sha256 != standing.sha256:
            problems.append(f"{standing.file}: is not the file that the log names")
        elif standing.state == "current":
            studies += bundle.studies
            runs |= {run.id: run for run in bundle.runs}
            tiers |= {study.id: standing.tier for study in bundle.studies}
        else:
            past.append(Past(standing, Evidence(bundle.studies, _parts(bundle.runs))))
    flags = suspicions.flags(studies, runs) if suspicions else {}
    return TaskRecords(studies, runs, problems, flags, tiers, past)


def _from_store(
    store: Store, task: str, suspicions: FlagFinder | None, trials: bool
) -> TaskRecords:
    """The studies of one task, and the runs that they name."""
    problems: list[str] = []
    studies = list(store.studies(problems, task))
    runs: dict[str, RunRecord] = {}
    for study in studies:
        _add(runs, store, study, set(study.repetition_ids), problems)
    # Before the trials: what is odd must not depend on who asks.
    flags = suspicions.flags(studies, runs) if suspicions else {}
    for study in studies if trials else ():
        _add(runs, store, study, {trial.run_id for trial in study.trials}, problems)
    return TaskRecords(studies, runs, problems, flags)


def _add(
    runs: dict[str, RunRecord],
    store: Store,
    study: StudyRecord,
    ids: set[str],
    problems: list[str],
) -> None:
    """Read runs of a study that were not read yet; unreadable ones are problems."""
    for run_id in sorted(ids - runs.keys()):
        try:
            record = store.run(study.task.slug, study.method.slug, run_id)
        except RecordError as error:
            problems.append(str(error))
            continue
        if record is not None:
            runs[run_id] = record


def _parts(records: Iterable[RunRecord]) -> dict[str, Run]:
    return {record.id: Run.of(record) for record in records}
