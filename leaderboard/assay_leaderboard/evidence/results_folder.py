"""Evidence from a folder of results: the bundles that its log names, and records beside them.

Nothing of a bundle is extracted or run. Whole records are large, so they are read task by task.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from assay import paths
from assay.detectors import Flag
from assay.errors import BundleError
from assay.records import former
from assay.records import log as publication_log
from assay.records.bundle import read_bundle
from assay.records.former import FormerResult
from assay.records.log import Entry, Standing, TrustTier
from assay.records.schema import MethodRef, RunRecord, TaskRef
from assay.records.store import Store

from assay_leaderboard.evidence.flags import Cell, FlagFinder
from assay_leaderboard.evidence.runs import LOCAL, Evidence, Past, Rules, Run, Tries
from assay_leaderboard.processes import Workers


@dataclass(frozen=True)
class ResultsFolder:
    """A folder of results whose log has been read."""

    folder: Path
    standings: Mapping[str, Sequence[Standing]]
    """By task: the bundles that the log names, and whether each still counts."""
    log: Sequence[Entry] = ()
    """The log itself, oldest first."""

    @cached_property
    def tries(self) -> dict[tuple[str, str], Tries]:
        """How often each task and method was submitted."""
        refused = publication_log.refusals(self.log)
        n = publication_log.attempts(self.log)
        first = publication_log.first_published(self.log)
        return {cell: Tries(n[cell], refused[cell], first.get(cell, "")) for cell in n}

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
    def of(cls, runs: Iterable[RunRecord]) -> TaskRecords:
        """From records that are neither published nor flagged."""
        known = {run.id: run for run in runs}
        return cls(Evidence(_light(known.values())), known)


def open_folder(folder: Path) -> ResultsFolder:
    """Read the log of a folder of results, if it has one.

    Raises:
        LogError: its chain is broken, so that nothing in the folder can be believed.
    """
    by_task: dict[str, list[Standing]] = {}
    log, standings = publication_log.read_with_standings(folder)
    for standing in standings.values():
        if standing.state != "archived":
            by_task.setdefault(standing.file.split("--")[0], []).append(standing)
    return ResultsFolder(folder, by_task, log)


def rules_of(results: ResultsFolder, *, with_local: bool) -> Rules:
    """What may rank on a board of this folder.

    Args:
        results: the folder. One with a log is a published one, and so is that of the checkout.
        with_local: results of the user's own are shown beside published ones.
    """
    own = results.folder.resolve() == paths.RESULTS.resolve()
    published = not with_local and (own or bool(results.log))
    epochs = publication_log.epochs(results.log)
    return Rules(published, {e.name: e.revealed.at for e in epochs if e.revealed})


def unread(results: ResultsFolder, known: Collection[str]) -> list[str]:
    """A line for each bundle that the log does not name and each task that is not `known`."""
    named = {standing.file for standings in results.standings.values() for standing in standings}
    nameless = {path.name for path in results.folder.glob("*.zip")} - named
    problems = [f"{name}: no entry of the log names it" for name in sorted(nameless)]
    for task in sorted(results.tasks - set(known)):
        n_bundles = len(results.standings.get(task, ()))
        n_runs = sum(1 for _ in (results.folder / "runs" / task).glob("*/*.json"))
        for n, what in ((n_bundles, "bundles"), (n_runs, "runs")):
            if n:
                problems.append(f"task {task} is not known here: {n} {what} not shown")
    return problems


def read_task(
    results: ResultsFolder, task: str, flag_finder: FlagFinder | None = None
) -> list[TaskRecords]:
    """The records of one task: those in bundles, then those beside the bundles.

    Args:
        results: the folder.
        task: slug of a known task.
        flag_finder: flags suspicious results; nothing is flagged without it.
    """
    bundles = _from_bundles(results.folder, results.standings.get(task, ()), flag_finder)
    tries = {cell: own for cell, own in results.tries.items() if cell[0] == task}
    return [
        replace(bundles, evidence=replace(bundles.evidence, tries=tries)),
        _from_store(Store(results.folder), task, flag_finder),
    ]


def load_folder(
    folder: Path,
    tasks: Collection[str],
    known: Collection[str],
    flag_finder: FlagFinder | None = None,
    jobs: int = 1,
) -> Evidence:
    """The evidence on `tasks` in a folder of results.

    What cannot be read, or belongs to a task that is not `known`, becomes a line in `problems`.

    Args:
        folder: of the results.
        tasks: slugs of the tasks to read.
        known: slugs of all tasks that there are.
        flag_finder: flags suspicious results; nothing is flagged without it.
        jobs: processes that read.

    Raises:
        LogError: the chain of the folder's log is broken.
        WorkerError: a process that read was killed.
    """
    results = open_folder(folder)
    wanted = sorted(results.tasks & set(tasks))
    with (
        _no_search_for_cycles(),
        Workers((results, flag_finder), min(jobs, len(wanted)), "name fewer tasks") as workers,
    ):
        read = dict(workers.run(_evidence_on, {task: (task,) for task in wanted}))
    parts = (part for task in wanted for part in read[task])
    return together([Evidence({}, sorted(unread(results, known))), *parts])


def _evidence_on(shared: tuple[ResultsFolder, FlagFinder | None], task: str) -> list[Evidence]:
    results, flag_finder = shared
    return [records.evidence for records in read_task(results, task, flag_finder)]


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Records hold no cycles, and looking for some takes a third of the time of reading them."""
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searched:
            gc.enable()


def together(parts: Sequence[Evidence], rules: Rules = LOCAL) -> Evidence:
    """All parts; the first wins where several have the same run, task and method, or bundle."""
    runs: dict[str, Run] = {}
    flags: dict[Cell, Sequence[Flag]] = {}
    tiers: dict[str, TrustTier] = {}
    bundles: dict[tuple[TaskRef, MethodRef, str | None], Standing] = {}
    tries: dict[tuple[str, str], Tries] = {}
    for part in reversed(parts):
        runs |= part.runs
        flags |= part.flags
        tiers |= part.tiers
        bundles |= part.bundles
        tries |= part.tries
    return Evidence(
        runs=runs,
        problems=sorted({problem for part in parts for problem in part.problems}),
        flags=flags,
        tiers=tiers,
        bundles=bundles,
        tries=tries,
        past=[past for part in parts for past in part.past],
        former=[result for part in parts for result in part.former],
        rules=rules,
    )


def _from_bundles(
    folder: Path, standings: Sequence[Standing], flag_finder: FlagFinder | None
) -> TaskRecords:
    """The records in the bundles of one task."""
    problems: list[str] = []
    runs: dict[str, RunRecord] = {}
    tiers: dict[str, TrustTier] = {}
    current: dict[tuple[TaskRef, MethodRef, str | None], Standing] = {}
    past: list[Past] = []
    earlier: list[FormerResult] = []
    for standing in standings:
        path = folder / standing.file
        try:
            if (summary := former.read_bundle(path)) is not None:
                earlier += [summary] if standing.state == "current" else []
                continue
            bundle = read_bundle(path)
        except BundleError as error:
            problems.append(str(error))
            continue
        if bundle.sha256 != standing.sha256:
            problems.append(f"{standing.file}: is not the file that the log names")
        elif any(run.spec.epoch != standing.epoch for run in bundle.runs):
            problems.append(f"{standing.file}: has runs with other seeds than the log says")
        elif standing.state == "current":
            runs |= {run.id: run for run in bundle.runs}
            tiers |= {run.id: standing.tier for run in bundle.runs}
            spec = bundle.runs[0].spec
            current[spec.task, spec.method, spec.epoch] = standing
        else:
            past.append(Past(standing, Evidence(_light(bundle.runs))))
    flags = flag_finder.flags(runs.values()) if flag_finder else {}
    light = _light(runs.values())
    read = Evidence(light, problems, flags, tiers, current, past=past, former=earlier)
    return TaskRecords(read, runs)


def _from_store(store: Store, task: str, flag_finder: FlagFinder | None) -> TaskRecords:
    """The records of one task in a store."""
    problems: list[str] = []
    runs = {run.id: run for run in store.runs(problems, task)}
    flags = flag_finder.flags(runs.values()) if flag_finder else {}
    earlier = former.read_store(store.root, task, problems)
    light = _light(runs.values())
    return TaskRecords(Evidence(light, problems, flags, former=earlier), runs)


def _light(records: Iterable[RunRecord]) -> dict[str, Run]:
    """By id, what statistics need of each."""
    return {record.id: Run.of(record) for record in records}
