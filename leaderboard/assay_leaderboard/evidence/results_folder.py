"""Evidence from a folder of results: the bundles that its log names, and records beside them.

Nothing of a bundle is extracted or run. Whole records are large, so they are read task by task.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.errors import BundleError, RecordError
from assay.records import log as publication_log
from assay.records.bundle import read_bundle
from assay.records.log import Entry, Standing, TrustTier
from assay.records.schema import RunRecord, StudyRecord
from assay.records.store import Store

from assay_leaderboard.evidence.cells import Evidence, Past, Run
from assay_leaderboard.evidence.flags import FlagFinder


@dataclass(frozen=True)
class ResultsFolder:
    """A folder of results whose log has been read."""

    folder: Path
    standings: Mapping[str, Sequence[Standing]]
    """By task: the bundles that the log names, and whether each still counts."""
    log: Sequence[Entry] = ()
    """The log itself, oldest first."""

    @property
    def tasks(self) -> set[str]:
        """Tasks that have results here."""
        return {*self.standings, *Store(self.folder).tasks()}


@dataclass(frozen=True)
class TaskRecords:
    """The records of one task: what statistics need of them, and the whole run records."""

    evidence: Evidence
    runs: Mapping[str, RunRecord]
    """By id; those of `evidence`."""

    @classmethod
    def of(cls, studies: Sequence[StudyRecord], runs: Mapping[str, RunRecord]) -> TaskRecords:
        """From records that are neither published nor flagged."""
        return cls(Evidence(studies, _light(runs.values())), runs)


def open_folder(folder: Path) -> ResultsFolder:
    """Read the log of a folder of results, if it has one.

    Raises:
        LogError: its chain is broken, so that nothing in the folder can be believed.
    """
    by_task: dict[str, list[Standing]] = {}
    log, standings = publication_log.read_with_standings(folder)
    for standing in standings.values():
        by_task.setdefault(standing.file.split("--")[0], []).append(standing)
    return ResultsFolder(folder, by_task, log)


def unread(results: ResultsFolder, known: Collection[str]) -> list[str]:
    """A line for each bundle that the log does not name and each task that is not `known`."""
    named = {standing.file for standings in results.standings.values() for standing in standings}
    nameless = {path.name for path in results.folder.glob("*.zip")} - named
    problems = [f"{name}: no entry of the log names it" for name in sorted(nameless)]
    store = Store(results.folder)
    for task in sorted(results.tasks - set(known)):
        n_bundles = len(results.standings.get(task, ()))
        n_studies = sum(1 for _ in store.studies(problems, task))
        for n, what in ((n_bundles, "bundles"), (n_studies, "studies")):
            if n:
                problems.append(f"task {task} is not known here: {n} {what} not shown")
    return problems


def read_task(
    results: ResultsFolder,
    task: str,
    flag_finder: FlagFinder | None = None,
    *,
    trials: bool = False,
) -> list[TaskRecords]:
    """The records of one task: those in bundles, then those beside the bundles.

    Args:
        results: the folder.
        task: slug of a known task.
        flag_finder: flags suspicious results; nothing is flagged without it.
        trials: read the tuning runs of records beside the bundles too; bundles hold them anyway.
    """
    return [
        _from_bundles(results.folder, results.standings.get(task, ()), flag_finder),
        _from_store(Store(results.folder), task, flag_finder, trials),
    ]


def load_folder(
    folder: Path,
    tasks: Collection[str],
    known: Collection[str],
    flag_finder: FlagFinder | None = None,
) -> Evidence:
    """The evidence on `tasks` in a folder of results.

    What cannot be read, or belongs to a task that is not `known`, becomes a line in `problems`.

    Raises:
        LogError: the chain of the folder's log is broken.
    """
    results = open_folder(folder)
    found = Evidence([], {}, sorted(unread(results, known)))
    for task in sorted(results.tasks & set(tasks)):
        for records in read_task(results, task, flag_finder):
            found = together(found, records.evidence)
    return found


def together(first: Evidence, second: Evidence) -> Evidence:
    """Both; `first` wins where the two have the same study or run."""
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
    folder: Path, standings: Sequence[Standing], flag_finder: FlagFinder | None
) -> TaskRecords:
    """The records in the bundles of one task."""
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
            past.append(Past(standing, Evidence(bundle.studies, _light(bundle.runs))))
    flags = flag_finder.flags(studies, runs) if flag_finder else {}
    light = _light(runs.values())
    return TaskRecords(Evidence(studies, light, problems, flags, tiers, past), runs)


def _from_store(
    store: Store, task: str, flag_finder: FlagFinder | None, trials: bool
) -> TaskRecords:
    """The studies of one task in a store, and the runs that they name."""
    problems: list[str] = []
    studies = list(store.studies(problems, task))
    runs: dict[str, RunRecord] = {}
    for study in studies:
        _add(runs, store, study, set(study.repetition_ids), problems)
    # Flagged before the tuning runs are added: flags must not depend on `trials`.
    flags = flag_finder.flags(studies, runs) if flag_finder else {}
    for study in studies if trials else ():
        _add(runs, store, study, {trial.run_id for trial in study.trials}, problems)
    return TaskRecords(Evidence(studies, _light(runs.values()), problems, flags), runs)


def _add(
    runs: dict[str, RunRecord],
    store: Store,
    study: StudyRecord,
    ids: set[str],
    problems: list[str],
) -> None:
    """Read the runs `ids` of a study into `runs`; those that cannot be read go to `problems`."""
    for run_id in sorted(ids - runs.keys()):
        try:
            record = store.run(study.task.slug, study.method.slug, run_id)
        except RecordError as error:
            problems.append(str(error))
            continue
        if record is not None:
            runs[run_id] = record


def _light(records: Iterable[RunRecord]) -> dict[str, Run]:
    """By id, what statistics need of each."""
    return {record.id: Run.of(record) for record in records}
